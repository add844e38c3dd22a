"""One compiled configuration: built once from `Config`, never changed, swapped whole.

Here the words of `routes.toml` become objects, and the policies of a route its pipeline. The order of `_policies` is
the order of the phases (and its reverse for `amend`).
"""

from __future__ import annotations

import functools
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.admin.health import Healthz, Readiness, Readyz
from gateway.admin.shared_drains import SharedDrains
from gateway.balancing import balance_of, preference_of, sticky_of, upstream_preference
from gateway.cache.caching import Caching
from gateway.cache.note import CacheNote
from gateway.cache.siblings import Siblings
from gateway.cache.stores import lock_of, make_store
from gateway.cache.tasks import Tasks
from gateway.errors import MethodNotAllowed, NoRoute
from gateway.mirror import Mirror
from gateway.observe.access_log import AccessLog
from gateway.observe.counters import Counters
from gateway.observe.request_id import RequestIds
from gateway.observe.trace import trace_parent
from gateway.outgoing import RequestFields
from gateway.pipeline import Pipeline
from gateway.policies.access import Access
from gateway.policies.compression import Compression
from gateway.policies.headers import RequestHeaders, ResponseHeaders
from gateway.policies.mapping import PublicAddresses
from gateway.policies.respond import FixedAnswer, Redirect
from gateway.policies.standard import Standard
from gateway.rewrite import PathRewrite
from gateway.rfc.forwarded import Networks, client_address, forwarded_for
from gateway.rfc.uri import match_path
from gateway.route import Route, Share
from gateway.router import Match, PathPattern, Rejected, Router, compile_path, quoted
from gateway.server.settings import ServerSettings
from gateway.upkeep import guard_of, health_of, retry_of
from gateway.upstream.address import Address
from gateway.upstream.discovery import DISCOVERIES
from gateway.upstream.discovery.found import Spec
from gateway.upstream.discovery.keeper import Keeper
from gateway.upstream.local import LocalApp
from gateway.upstream.local_target import LocalTarget
from gateway.upstream.metrics import upstream_metrics
from gateway.upstream.sink import Timeouts
from gateway.upstream.target import Target, TargetLimits
from gateway.upstream.tls import client_context
from gateway.upstream.upstream import Upstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from gateway import config as c
    from gateway.balance.affinity import Preference
    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange
    from gateway.lasting import Draft
    from gateway.observe.counters import Metric
    from gateway.policy import Policy
    from gateway.upstream.upstream import AnyTarget

SCHEMES: Final = (b"http", b"https")
LOCAL: Final = "asgi://"
HEALTH: Final = "healthz"
READY: Final = "readyz"


class Snapshot:
    """max_body is bytes; request_ids names the field of the request id."""

    def __init__(
        self,
        config: c.Config,
        router: Router,
        upstreams: Mapping[str, Upstream],
        fallback: Pipeline,
        server_settings: ServerSettings,
        *,
        trusted: Networks,
        access: Access | None,
        request_ids: RequestIds,
        readiness: Readiness,
        access_log: AccessLog | None,
        mirrors: Mapping[str, Mirror],
        counters: Counters,
        caching: Caching | None,
        siblings: Siblings,
        shared_drains: SharedDrains | None,
    ) -> None:
        self.config = config
        self.router = router
        self.upstreams = upstreams
        self.fallback = fallback  # for requests that no route takes
        self.server_settings = server_settings
        self.request_ids = request_ids
        self.request_fields = RequestFields(request_ids.field)
        self.readiness = readiness
        self.counters = counters
        self.caching = caching  # None where no route has a cache
        self.siblings = siblings
        self.mirrors = mirrors  # by route
        self.shared_drains = shared_drains  # None where there is no Redis
        self._trusted = trusted
        self._access = access
        self._access_log = access_log

    def identify(self, exchange: Exchange) -> None:
        """Who asks, and by what id the request is known from now on."""
        if self._trusted:
            self._resolve_client(exchange)
        self.request_ids.assign(exchange)
        if not exchange.is_plain:
            exchange.traceparent = trace_parent(exchange.special)

    def route(self, exchange: Exchange) -> Route:
        """Find the request's route. Raises Denied, NoRoute or MethodNotAllowed."""
        if self._access is not None and (refused := self._access.admit(exchange)) is not None:
            assert refused.error is not None
            raise refused.error
        exchange.match_path = b"/" if exchange.path == b"*" else match_path(exchange.path)
        found = self.router.find(exchange)
        if found is None:
            raise NoRoute(f"no route for {exchange.host!r} {exchange.match_path!r}")
        if isinstance(found, Rejected):
            raise MethodNotAllowed(b", ".join(sorted(found.allow)).decode())
        route, captures = found
        exchange.route = route
        exchange.captures = captures if exchange.match_path is exchange.path else quoted(captures)
        return route

    def metrics(self) -> list[Metric]:
        """All numbers of this process, as they are now."""
        return [*self.counters.collect(), *upstream_metrics(self.upstreams.values())]

    def _resolve_client(self, exchange: Exchange) -> None:
        if self._trusted.contains(exchange.peer):
            exchange.trusted = True
            chain = exchange.header_values(b"x-forwarded-for") or forwarded_for(exchange.header_values(b"forwarded"))
            exchange.client = client_address(exchange.peer, chain, self._trusted)
            scheme = (exchange.header(b"x-forwarded-proto") or b"").partition(b",")[0].strip(b" \t").lower()
            if scheme in SCHEMES:
                exchange.scheme = scheme

    def close(self) -> None:
        """Nothing is under way any more."""
        if self._access_log is not None:
            self._access_log.close()


def build_snapshot(config: c.Config, deadlines: Deadlines, draft: Draft) -> Snapshot:
    """Make the runtime objects of a checked configuration; the draft keeps those that outlive it.

    Raises ValueError and OSError for files that have gone meanwhile.
    """
    return _Builder(config, deadlines, draft).snapshot()


class _Builder:
    """What is made once and used by several routes."""

    def __init__(self, config: c.Config, deadlines: Deadlines, draft: Draft) -> None:
        self.config = config
        self.deadlines = deadlines
        self.draft = draft
        self.request_ids = RequestIds(config.server.request_id)
        self.readiness = draft.keep("readiness", None, Readiness)
        self.counters = draft.keep("counters", None, Counters)
        self.siblings = draft.keep("siblings", None, Siblings)
        log = config.access_log
        self.access_log = draft.keep("access log", log, lambda: _access_log(log, deadlines))
        self.standard = Standard(self.counters, self.access_log, self.request_ids)
        self.caching = self._caching()
        self.mirrors: dict[str, Mirror] = {}
        self.upstream_options = config.all_upstreams()
        self.upstreams = {name: self._kept_upstream(name, options) for name, options in self.upstream_options.items()}

    def snapshot(self) -> Snapshot:
        config = self.config
        return Snapshot(
            config,
            Router([*self._admin_routes(), *(self._route(options) for options in config.routes)]),
            self.upstreams,
            Pipeline([], self.standard),
            server_settings(config),
            trusted=Networks(config.server.trusted_proxies),
            access=_access(config.server.access),
            request_ids=self.request_ids,
            readiness=self.readiness,
            access_log=self.access_log,
            mirrors=self.mirrors,
            counters=self.counters,
            caching=self.caching,
            siblings=self.siblings,
            shared_drains=self._shared_drains(),
        )

    def _shared_drains(self) -> SharedDrains | None:
        redis = self.config.redis
        address = None if redis is None else redis.address
        if redis is None or address is None:
            return None
        drains = self.draft.keep(
            "shared drains", redis, lambda: SharedDrains(address, redis.timeout, redis.prefix.encode())
        )
        self.draft.on_accept(partial(drains.apply_to, self.upstreams.values()))
        return drains

    def _caching(self) -> Caching | None:
        """What is stored outlives the configuration, unless the store changes."""
        options, keep = self.config.cache, self.draft.keep
        if not any(self.config.cache_for(route) for route in self.config.routes):
            return None
        redis = self.config.redis
        store = keep("store", (options, redis), lambda: make_store(options, redis))
        tasks = keep("cache tasks", None, Tasks)
        note = keep("cache note", None, CacheNote)
        id_field = self.request_ids.field
        return Caching(options, store, lock_of(store), tasks, note, siblings=self.siblings, id_field=id_field)

    # ------------------------------------------------------------ policies

    def _policies(
        self,
        options: c.RouteOptions,
        rewrite: PathRewrite | None,
        split: Preference[Share] | None,
        compression: Compression | None,
    ) -> list[Policy]:
        """In the order of `admit`; `amend` runs backwards, so that a route's own response fields have the last word
        over the target's and compression sees the final media type."""
        config = self.config
        policies: list[Policy] = []
        if (access := _access(options.access)) is not None:
            policies.append(access)
        if compression is not None:
            policies.append(compression)
        if (hsts := config.hsts_for(options)) is not None:
            policies.append(hsts.policy())
        if (edits := options.request_headers) is not None:
            policies.append(RequestHeaders(set=edits.set, add=edits.add, remove=edits.remove))
        if (changes := options.response_headers) is not None:
            policies.append(ResponseHeaders(set=changes.set, add=changes.add, remove=changes.remove))
        policies.append(PublicAddresses(rewrite))
        if (sticky := sticky_of([self.upstreams[share.upstream] for share in options.shares], split)) is not None:
            policies.append(sticky)
        if self.caching is not None and config.cache_for(options) is not None:
            policies.append(self.caching.note)  # before the route's own response fields, which may take it away
        if (mirror := self._mirror(options)) is not None:
            policies.append(mirror)
        if options.redirect is not None:
            policies.append(Redirect(options.redirect.to, options.redirect.status))
        elif options.respond is not None:
            policies.append(FixedAnswer(options.respond.status, options.respond.body, options.respond.headers))
        return policies

    # ------------------------------------------------------------ routes

    def _admin_routes(self) -> list[Route]:
        prefix = self.config.admin.path
        if prefix is None:
            return []
        pages = ((HEALTH, Healthz()), (READY, Readyz(self.readiness)))
        return [
            Route(name, Match(compile_path(f"{prefix}/{name}")), Pipeline([page], self.standard))
            for name, page in pages
        ]

    def _route(self, options: c.RouteOptions) -> Route:
        rewrite = None
        if options.strip_prefix or options.add_prefix or options.rewrite is not None:
            rewrite = PathRewrite(options.strip_prefix or "", options.add_prefix or "", options.rewrite)
        path = PathPattern.from_regex(options.path_regex) if options.path_regex else compile_path(options.path)
        match = Match(
            path, hosts=options.host, methods=options.methods, headers=options.headers, query=options.query
        )
        config = self.config
        split = preference_of(options.name, options.hash_on, options.sticky)
        given = config.compression_for(options)
        compression = None if given is None else _compression(given)
        caches = config.cache_for(options)
        caching = self.caching
        return Route(
            options.name,
            match,
            Pipeline(self._policies(options, rewrite, split, compression), self.standard),
            [
                Share(
                    self.upstreams[share.upstream],
                    _timeouts(config.timeouts_for(options, self.upstream_options[share.upstream])),
                    share.weight,
                )
                for share in options.shares
            ],
            rewrite=rewrite,
            host_header=None if options.host_header is None else options.host_header.encode(),
            max_body=config.max_body_for(options),
            preference=split,
            cache=None if caches is None or caching is None else caching.add(options, caches, compression),
            invalidates=caching.invalidator if caching is not None and caches is None and options.shares else None,
            mirror=self._mirror(options),
        )

    def _mirror(self, options: c.RouteOptions) -> Mirror | None:
        mirrored = options.mirror
        if mirrored is None:
            return None
        upstream = self.upstreams[mirrored.upstream]
        timeouts = self.config.timeouts_of(self.upstream_options[mirrored.upstream])

        def make() -> Mirror:
            share, total, most = mirrored.percent / 100, mirrored.timeout, mirrored.max_in_flight
            return Mirror(options.name, upstream, _timeouts(timeouts), share=share, total=total, most=most)

        mirror = self.draft.keep(("mirror", options.name), (mirrored, upstream, timeouts), make)
        self.mirrors[options.name] = mirror
        return mirror

    # ------------------------------------------------------------ upstreams

    def _kept_upstream(self, name: str, options: c.UpstreamOptions) -> Upstream:
        """An upstream stays as it is while all that it is made from does, files included."""
        made_from = (options, self.config.defaults, _stamps(options.tls))
        return self.draft.keep(("upstream", name), made_from, lambda: self._upstream(name, options))

    def _upstream(self, name: str, options: c.UpstreamOptions) -> Upstream:
        """With the targets that are there already, where it has changed."""
        before: Upstream | None = self.draft.before(("upstream", name))
        live = {target.address.url: target for target in before.targets} if before is not None else {}
        make = self._target_maker(name, options)
        discover = options.discover
        if discover is None:
            specs = [Spec(target.url, target.weight, target.priority, target.backup) for target in options.targets]
        else:
            source = f"{discover.kind} {discover.name}"
            keeper = before.keeper if before is not None else None
            specs = list(keeper.specs) if keeper is not None and keeper.source == source else []
        targets = [self._lasting_target(live.get(spec.url), make(spec)) for spec in specs]
        host_header = self.config.host_header_for(options).encode()
        upstream = Upstream(
            name, targets, balance_of(options), host_header, upstream_preference(name, options), self.deadlines.now,
            health=health_of(options, self.deadlines), guard=guard_of(options, self.deadlines, self.draft.tally),
            retry=retry_of(self.config.retry_for(options), self.deadlines),
            drained=self.draft.keep(("drained", name), None, set[str]),
        )  # fmt: skip
        if discover is not None:
            upstream.keeper = Keeper(
                upstream, DISCOVERIES[discover.kind](discover), make, refresh=discover.longest, source=source, specs=specs
            )
        self.draft.on_accept(upstream.take_over)
        return upstream

    def _lasting_target(self, live: AnyTarget | None, fresh: AnyTarget) -> AnyTarget:
        if live is None:
            return fresh
        self.draft.on_accept(partial(live.become, fresh))
        return live

    def _target_maker(self, name: str, options: c.UpstreamOptions) -> Callable[[Spec], AnyTarget]:
        """Makes the targets of an upstream, now and whenever others are discovered."""
        limits = TargetLimits(
            options.max_connections, options.max_pending, options.keepalive.connections, options.keepalive.timeout
        )
        tls = options.tls
        secure = functools.cache(partial(_client_tls, tls))
        if options.is_https:
            context = self.draft.keep(("client tls", name), (tls, _stamps(tls)), secure)
            secure = functools.cache(lambda: context)

        def make(spec: Spec) -> AnyTarget:
            address = Address(spec.url, None if tls is None else tls.server_name, spec.known_as)
            if address.app is not None:
                local = self._local_app(address.app)
                return LocalTarget(address, local, spec.weight, spec.priority, backup=spec.backup)
            return Target(
                address, self.deadlines, weight=spec.weight, priority=spec.priority, backup=spec.backup,
                limits=limits, tls=secure() if address.scheme == "https" else None,
            )  # fmt: skip

        return make

    def _local_app(self, name: str) -> LocalApp:
        """Upstreams that name the same app share it."""
        return self.draft.keep(("local app", name), None, lambda: LocalApp(name))


def _client_tls(options: c.UpstreamTls | None) -> ssl.SSLContext:
    if options is None:
        return client_context()
    return client_context(
        ca=_text(options.ca),
        client_cert=_text(options.client_cert),
        client_key=_text(options.client_key),
        verify=options.verify,
    )


def _stamps(options: c.UpstreamTls | None) -> list[object]:
    """By what a change of the files shows."""
    if options is None:
        return []
    files = [path for path in (options.ca, options.client_cert, options.client_key) if path is not None]
    return [(status.st_mtime_ns, status.st_size, status.st_ino) for status in map(os.stat, files)]


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def _access(options: c.Access | None) -> Access | None:
    return None if options is None else Access(options.allow, options.deny)


def _compression(options: c.Compression) -> Compression:
    return Compression(
        types=options.types,
        exclude=options.exclude,
        min_size=options.min_size,
        encodings=options.encodings,
        levels=options.levels,
    )


def _access_log(options: c.AccessLogOptions, deadlines: Deadlines) -> AccessLog | None:
    if options.format == "off":
        return None
    return AccessLog(options.format, deadlines, path=options.path)


def _timeouts(options: c.Timeouts) -> Timeouts:
    return Timeouts(
        connect=options.connect, pool=options.pool, first_byte=options.first_byte, read=options.read, write=options.write,
        stream_idle=options.stream_idle, total=options.total,
    )  # fmt: skip


def server_settings(config: c.Config) -> ServerSettings:
    limits, timeouts = config.server.limits, config.server.timeouts
    return ServerSettings(
        max_connections=limits.max_connections,
        max_header_size=limits.max_header_size,
        max_headers=limits.max_headers,
        max_target_size=limits.max_target_size,
        min_body_rate=limits.min_body_rate,
        header=timeouts.header,
        body_idle=timeouts.body_idle,
        write_idle=timeouts.write_idle,
        keepalive=timeouts.keepalive,
        tunnels=True,
    )
