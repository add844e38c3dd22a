"""`[upstreams.NAME]`: a named group of targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from gateway.balance import BALANCERS
from gateway.config.balance import BalancerName, HashOn, StickyOptions
from gateway.config.discover import Discover, is_by_dns
from gateway.config.faults import Wrong
from gateway.config.guard import AdaptiveSwitch, BreakerSwitch
from gateway.config.health import HealthCheckOptions, PassiveOptions, PassiveSwitch
from gateway.config.inherited import RetrySwitch, Timeouts
from gateway.config.options import Options, Switch, Whole, read, switched, whole
from gateway.config.targets import Targets, listed, missing_targets, repeated, urls_of
from gateway.config.texts import ExistingFile, HostValue
from gateway.config.units import Percent, PositiveDuration

_ASGI = "asgi://"
_HTTPS = "https://"


class UpstreamTls(Options):
    """For targets with https:// URLs."""

    ca: ExistingFile | None = Field(
        default=None, description="Who signs the targets' certificates; the system's if left out"
    )
    client_cert: ExistingFile | None = Field(default=None, description="The certificate that the gateway shows")
    client_key: ExistingFile | None = Field(
        default=None, description="Its private key, where client_cert does not hold it"
    )
    server_name: str | None = Field(
        default=None, min_length=1, description="The name in SNI and in the targets' certificates"
    )
    verify: Switch = Field(default=True, description="Whether the targets' certificates are checked")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if given.get("client_key") is not None and given.get("client_cert") is None:
            yield Wrong("has no effect without client_cert", "add client_cert", ("client_key",))
        if given.get("ca") is not None and switched(given.get("verify")) is False:
            yield Wrong("has no effect with verify = false", "leave one of them out", ("ca",))


class Keepalive(Options):
    """Idle connections to a target."""

    connections: Whole = Field(default=64, ge=0, description="How many are kept per target")
    timeout: PositiveDuration = Field(default=60.0, description="How long; less than the target keeps them itself")


class UpstreamOptions(Options):
    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["targets"]}, {"required": ["discover"]}]})

    targets: Targets = Field(default=[], description="Tables with url and weight, or the URLs alone")
    discover: Discover | None = Field(default=None, description="Where targets are found, in place of a list")
    balance: BalancerName = Field(default="round_robin", description="Which target is next")
    balance_options: dict[str, Any] = Field(default={}, description="For a balancer of another package")
    hash_on: HashOn = Field(
        default=[], description="client_ip, path, header:NAME, cookie:NAME or query:NAME; the first that a request has"
    )
    hash_slack: Percent | None = Field(
        default=None, description="How far above its part of the requests in flight hash may load a target"
    )
    sticky: StickyOptions | None = Field(default=None, description="A cookie by which clients come back to a target")
    timeouts: Timeouts = Field(default=Timeouts(), description="Over those of [defaults]")
    tls: UpstreamTls | None = Field(default=None, description="For https:// targets")
    host_header: HostValue | None = Field(
        default=None,
        description='"preserve" (the client\'s), "upstream" (the target\'s) or a literal; '
        "if left out, upstream for https:// targets and preserve for the others",
    )
    keepalive: Keepalive = Field(default=Keepalive(), description="Idle connections")
    max_connections: Whole = Field(default=200, ge=1, description="Connections per target and worker")
    max_pending: Whole = Field(
        default=1000, ge=0, description="Requests that wait for a connection, per target and worker; 503 above"
    )
    max_requests: Whole | None = Field(
        default=None, ge=1, description="Requests in flight per target, of all workers, waiting ones too; 503 where all are at it"
    )
    adaptive_concurrency: AdaptiveSwitch = Field(default=False, description="The same, found from latency")
    circuit_breaker: BreakerSwitch = Field(default=False, description="503 at once while most attempts fail")
    health_check: HealthCheckOptions | None = Field(default=None, description="Probes of every target; none if left out")
    passive: PassiveSwitch = Field(default=PassiveOptions(), description="Targets that fail are left out for a while")
    retry: RetrySwitch = Field(default=None, description="In place of the one in [defaults]")
    slow_start: PositiveDuration | None = Field(
        default=None, description="How long a target that recovered takes to get its whole part again"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        discover = given.get("discover")
        if discover is None:
            yield from missing_targets(given, cls.meant(given))
        elif given.get("targets") is not None:
            yield Wrong("excludes targets", "leave one of them out", ("discover",))
        urls = urls_of(given.get("targets"))
        yield from repeated(urls)
        known = [url for url in urls if isinstance(url, str)]
        local = [url.startswith(_ASGI) for url in known]
        if any(local) and not all(local):
            yield Wrong("asgi:// apps and servers cannot share an upstream", "declare two, and split", ("targets",))
        if known and all(local):
            for key in ("keepalive", "max_connections", "max_pending", "health_check"):
                if given.get(key) is not None:
                    yield Wrong("has no effect for asgi:// apps: they are in this process", "leave it out", (key,))
        judged = given.get("health_check") is not None or switched(given.get("passive", True)) is not False
        if given.get("slow_start") is not None and not judged:
            yield Wrong("has no effect where no target is taken out", "add health_check or passive", ("slow_start",))
        if given.get("tls") is not None and known and not any(url.startswith(_HTTPS) for url in known):
            yield Wrong("has no effect without an https:// target", 'write "https://..." in targets', ("tls",))
        if given.get("tls") is not None and is_by_dns(discover) and read(discover, "scheme") != "https":
            yield Wrong("has no effect without https", 'write scheme = "https" in discover', ("tls",))
        yield from _balance_faults(given)

    @property
    def is_https(self) -> bool:
        """What is found in a file or by others is taken for it where `tls` is given."""
        if self.discover is not None:
            return self.discover.scheme == "https" or self.tls is not None
        return any(target.url.startswith(_HTTPS) for target in self.targets)


def _balance_faults(given: Mapping[str, Any]) -> Iterator[Wrong]:
    """Keys that this balancer does not look at. One of another package may look at all but the slack."""
    balance = given.get("balance", "round_robin")
    if given.get("hash_slack") is not None and balance != "hash":
        yield Wrong('has no effect without balance = "hash"', "leave it out", ("hash_slack",))
    if not isinstance(balance, str) or balance not in BALANCERS:
        return
    if given.get("hash_on") and balance != "hash":
        yield Wrong(f'has no effect with balance = "{balance}"', 'write balance = "hash"', ("hash_on",))
    if given.get("balance_options"):
        yield Wrong(f'has no effect with balance = "{balance}"', "it is for balancers of others", ("balance_options",))
    if balance == "first":
        for index, target in enumerate(listed(given.get("targets"))):
            if whole(read(target, "weight")) not in (None, 1):
                yield Wrong('has no effect with balance = "first"', "leave it out", ("targets", index, "weight"))
