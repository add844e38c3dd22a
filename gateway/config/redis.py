"""`[redis]`: what a fleet of gateways shares. Faults and printed options never show a credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Annotated, Any, Final
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.faults import Wrong
from gateway.config.options import Options, described
from gateway.config.texts import ExistingFile
from gateway.config.units import PositiveDuration
from gateway.redis.address import Endpoint, Form, RedisAddress
from gateway.rfc.uri import valid_host

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
MAX_PREFIX: Final = 64  # characters, of every name

_FORMS = (
    'write "redis://host:6379/0", "rediss://host", "unix:/path", "redis+sentinel://host:26379,host/service" '
    'or "redis+cluster://host:6379,host"'
)
_SCHEMES: Final = {
    "redis": (Form.SINGLE, False),
    "rediss": (Form.SINGLE, True),
    "redis+sentinel": (Form.SENTINEL, False),
    "rediss+sentinel": (Form.SENTINEL, True),
    "redis+cluster": (Form.CLUSTER, False),
    "rediss+cluster": (Form.CLUSTER, True),
}
_OTHER_SCHEMES: Final = {
    "valkey": "redis", "valkeys": "rediss", "redis+tls": "rediss", "tcp": "redis", "sentinel": "redis+sentinel",
    "redis-sentinel": "redis+sentinel", "rediss-sentinel": "rediss+sentinel", "cluster": "redis+cluster",
    "redis-cluster": "redis+cluster", "rediss-cluster": "rediss+cluster",
}  # fmt: skip


def redis_address(text: str) -> RedisAddress:
    """Raises Wrong where it is none. Nothing is quoted that could be part of a password in the wrong place."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or path.startswith("//"):
            raise Wrong("this is not the path of a socket", 'write "unix:/run/redis.sock"')
        return RedisAddress(Form.SINGLE, (Endpoint("", 0, path),))
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise Wrong("this is not the URL of a Redis", _FORMS)
    if scheme not in _SCHEMES:
        other = _OTHER_SCHEMES.get(scheme.lower())
        raise Wrong(f'"{scheme}" is no scheme of a Redis', f'write "{other}://"' if other else _FORMS)
    if "?" in rest or "#" in rest:
        raise Wrong("a query or fragment has no place here", "the other keys of [redis] are its options")
    form, tls = _SCHEMES[scheme]
    credentials, at, place = rest.rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and not (colon and password):
        raise Wrong("a user without a password", f'write "{scheme}://USER:PASSWORD@host", or ":PASSWORD@" without a user')
    hosts, _, path = place.partition("/")
    service, database = _path(form, path)
    return RedisAddress(
        form,
        _endpoints(form, hosts),
        username=unquote(user),
        password=unquote(password),
        database=database,
        service=service,
        tls=tls,
    )


def _path(form: Form, path: str) -> tuple[str, int]:
    """The service that Sentinels watch, and the database."""
    segments = [segment for segment in path.split("/") if segment]
    service = ""
    if form is Form.SENTINEL:
        if not segments:
            raise Wrong("the service is missing: the name of the master at its Sentinels", 'write ".../service"')
        service = unquote(segments.pop(0))
    if not segments:
        return service, 0
    if form is Form.CLUSTER:
        raise Wrong("a Cluster has no databases", "leave the path out")
    if len(segments) > 1 or not segments[0].isascii() or not segments[0].isdecimal():
        raise Wrong("the path is not the number of a database", 'write for example "/0"')
    return service, int(segments[0])


def _endpoints(form: Form, hosts: str) -> tuple[Endpoint, ...]:
    names = hosts.split(",")
    if form is Form.SINGLE and len(names) > 1:
        raise Wrong("several hosts", 'write "redis+sentinel://" or "redis+cluster://"')
    return tuple(_endpoint(name, SENTINEL_PORT if form is Form.SENTINEL else PORT) for name in names)


def _endpoint(text: str, default: int) -> Endpoint:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default)
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Wrong("a port is a number from 1 to 65535", _FORMS)
    if host.startswith("[") and host.endswith("]"):
        try:
            return Endpoint(str(IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise Wrong("what stands in brackets is not an address", _FORMS) from None
    if not host or ":" in host or not valid_host(host.encode()):
        raise Wrong("this is not a host" if host else "the host is missing", _FORMS)
    return Endpoint(host, int(port))


def _address(value: object) -> object:
    if value == "" or isinstance(value, RedisAddress):
        return value or None
    if isinstance(value, dict) and isinstance(value.get("form"), Form):  # an address that a configuration was taken apart into
        return RedisAddress(**{**value, "endpoints": tuple(Endpoint(*endpoint) for endpoint in value["endpoints"])})
    if not isinstance(value, str):
        raise Wrong(f"a URL is wanted, not {described(value)}", _FORMS)
    return redis_address(value)


def _prefix(text: str) -> str:
    if len(text) > MAX_PREFIX or not text.isascii() or any(char in "{}" or char <= " " for char in text):
        raise Wrong(
            f'"{text}" is not a prefix', f'up to {MAX_PREFIX} ASCII characters without spaces and braces, such as "gw:"'
        )
    return text


class RedisOptions(Options):
    """What a fleet of gateways shares."""

    url: Annotated[RedisAddress | None, BeforeValidator(_address, json_schema_input_type=str)] = Field(
        description="redis://, rediss://, unix:/, redis+sentinel:// or redis+cluster://; empty for none"
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(default="gw:", description="Of all names in Redis")
    timeout: PositiveDuration = Field(
        default=0.05, description="For an answer; Redis is then left alone for a while, and requests go on without it"
    )
    ca: ExistingFile | None = Field(default=None, description="Who signs Redis' certificate, PEM; the system's if left out")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        url = given.get("url")
        if given.get("ca") is not None and isinstance(url, str) and not url.startswith("rediss"):
            yield Wrong("has no effect without TLS", 'write "rediss" in place of "redis" in url', ("ca",))

    @property
    def address(self) -> RedisAddress | None:
        """None where there is no Redis."""
        return self.url and replace(self.url, ca="" if self.ca is None else str(self.ca))
