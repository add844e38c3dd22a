"""`Config`: the whole of a configuration, and what its parts mean together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from gateway.config.addresses import is_url
from gateway.config.caching import CacheOptions, RouteCacheOptions
from gateway.config.faults import Wrong
from gateway.config.inherited import Compression, Defaults, Hsts, Timeouts
from gateway.config.observe import AccessLogOptions, AdminOptions
from gateway.config.options import Options, read
from gateway.config.redis import RedisOptions
from gateway.config.retry import RetryOptions
from gateway.config.routes import RouteOptions
from gateway.config.server import Server
from gateway.config.source import Source
from gateway.config.targets import TargetOptions
from gateway.config.texts import PRESERVE, UPSTREAM, Label
from gateway.config.upstreams import UpstreamOptions
from gateway.config.words import hint_for_name


def _named(routes: list[RouteOptions]) -> list[RouteOptions]:
    return [
        route if route.name else route.model_copy(update={"name": _default_name(index)})
        for index, route in enumerate(routes)
    ]


def _default_name(index: int) -> str:
    return f"route-{index + 1}"


class Config(Options):
    """One `routes.toml`, or the same built in code. Everything in it has been checked."""

    version: Literal[1] = Field(default=1, description="Of this vocabulary")
    server: Server = Field(default=Server(), description="Where the gateway listens, and what it bears of clients")
    defaults: Defaults = Field(default=Defaults(), description="Inherited by every route and upstream")
    upstreams: dict[Label, UpstreamOptions] = Field(default={}, description="Named groups of targets")
    routes: Annotated[list[RouteOptions], AfterValidator(_named)] = Field(
        default=[], description="The first that matches takes the request"
    )
    redis: RedisOptions | None = Field(default=None, description="What a fleet of gateways shares")
    cache: CacheOptions = Field(default=CacheOptions(), description="Where routes with a cache store responses")
    access_log: AccessLogOptions = Field(default=AccessLogOptions(), description="One line for each exchange")
    admin: AdminOptions = Field(default=AdminOptions(), description="What the gateway tells about itself")

    _source: Source = PrivateAttr(default_factory=Source)

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        written = given.get("routes")
        routes = written if isinstance(written, list | tuple) else []
        declared = given.get("upstreams")
        names = list(declared) if isinstance(declared, Mapping) else []
        yield from _needs_redis(given, routes)
        seen: set[str] = set()
        for index, route in enumerate(routes):
            written_name = read(route, "name")
            name = written_name if written_name and isinstance(written_name, str) else _default_name(index)
            if name in seen:
                yield Wrong(f'"{name}" is the name of an earlier route', "names are unique", ("routes", index, "name"))
            seen.add(name)
            yield from _undeclared(read(route, "upstream"), names, ("routes", index, "upstream"))
            yield from _undeclared(read(read(route, "mirror"), "upstream"), names, ("routes", index, "mirror", "upstream"))
            shares = read(route, "split")
            for number, share in enumerate(shares if isinstance(shares, list | tuple) else []):
                yield from _undeclared(read(share, "upstream"), names, ("routes", index, "split", number, "upstream"))

    @property
    def source(self) -> Source:
        """Where it was read, and the places of its keys."""
        return self._source

    @property
    def digest(self) -> str:
        """Equal for equal configurations, in all processes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    # ---------------------------------------------------------------- what holds for a route

    def all_upstreams(self) -> dict[str, UpstreamOptions]:
        """Those declared, then the URLs that routes give themselves, by URL."""
        found = dict(self.upstreams)
        for route in self.routes:
            for name in route.upstreams:
                if name not in found:
                    found[name] = inline_upstream(name)
        return found

    def timeouts_for(self, route: RouteOptions, upstream: UpstreamOptions) -> Timeouts:
        """Route over upstream over defaults."""
        return route.timeouts.over(self.timeouts_of(upstream))

    def timeouts_of(self, upstream: UpstreamOptions) -> Timeouts:
        """Upstream over defaults."""
        return upstream.timeouts.over(self.defaults.timeouts)

    def compression_for(self, route: RouteOptions) -> Compression | None:
        """None where responses are not compressed."""
        chosen = self.defaults.compression if route.compression is None else route.compression
        return chosen if isinstance(chosen, Compression) else None

    def cache_for(self, route: RouteOptions) -> RouteCacheOptions | None:
        """None where nothing is stored."""
        return route.cache if isinstance(route.cache, RouteCacheOptions) else None

    def hsts_for(self, route: RouteOptions) -> Hsts | None:
        chosen = self.defaults.hsts if route.hsts is None else route.hsts
        return chosen if isinstance(chosen, Hsts) else None

    def retry_for(self, upstream: UpstreamOptions) -> RetryOptions | None:
        """None where nothing is sent again."""
        chosen = self.defaults.retry if upstream.retry is None else upstream.retry
        return chosen if isinstance(chosen, RetryOptions) else None

    def max_body_for(self, route: RouteOptions) -> int:
        """Bytes."""
        return self.server.limits.max_body if route.max_body is None else route.max_body

    def host_header_for(self, upstream: UpstreamOptions) -> str:
        """PRESERVE, UPSTREAM or a literal; the route's own `host_header` goes before it."""
        return upstream.host_header or (UPSTREAM if upstream.is_https else PRESERVE)


def _needs_redis(given: Mapping[str, Any], routes: list[Any] | tuple[Any, ...]) -> Iterator[Wrong]:
    """What is shared needs a place where it is."""
    store = read(given.get("cache"), "store") or "memory"
    if store in ("redis", "tiered") and not read(given.get("redis"), "url"):
        yield Wrong("needs a Redis", 'add [redis] with url = "redis://host:6379/0"', ("cache", "store"))
    for index, route in enumerate(routes):
        if store == "memory" and read(read(route, "cache"), "coalesce") == "global":
            hint = 'write store = "tiered" in [cache], or coalesce = "local"'
            yield Wrong("nobody shares what is stored in memory", hint, ("routes", index, "cache", "coalesce"))


def inline_upstream(url: str) -> UpstreamOptions:
    """The upstream that a URL in place of a name stands for."""
    return UpstreamOptions(targets=[TargetOptions(url=url)])


def _undeclared(name: object, declared: list[str], at: tuple[str | int, ...]) -> Iterator[Wrong]:
    if not isinstance(name, str) or is_url(name) or ":" in name or name in declared:
        return
    hint = hint_for_name(name, declared) or f"declare [upstreams.{name}], or write a URL"
    yield Wrong(f'there is no upstream "{name}"', hint, at)
