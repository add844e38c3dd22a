"""`[server]`: where the gateway listens, and what it bears of clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.config.access import Access
from gateway.config.addresses import ListenAddress, split_listen
from gateway.config.faults import Wrong
from gateway.config.options import Options, Switch, Whole, read, several, switched
from gateway.config.texts import ExistingFile, HeaderName, Network
from gateway.config.units import Duration, PositiveDuration, PositiveSize, Size

_ENTRIES_FOR_REDIRECT = 2

Port = Annotated[Whole, Field(ge=1, le=65535)]


class ServerLimits(Options):
    """Sizes in bytes."""

    max_connections: Whole = Field(default=16384, ge=1, description="Connections of clients, per worker")
    max_header_size: PositiveSize = Field(default=32 * 1024, description="All header fields of a request: 431 above")
    max_headers: Whole = Field(default=100, ge=1, description="Header fields of a request: 431 above")
    max_target_size: PositiveSize = Field(default=16 * 1024, description="Path and query of a request: 414 above")
    max_body: Size = Field(default=10 * 1024 * 1024, description="The body of a request: 413 above")
    min_body_rate: Size = Field(
        default=240, description="The body of a request, a second, over each body_idle: 408 below; none with 0B"
    )


class ServerTimeouts(Options):
    """Seconds."""

    header: PositiveDuration = Field(default=10.0, description="For a whole request head")
    body_idle: PositiveDuration = Field(default=30.0, description="Between two pieces of a request's body")
    write_idle: PositiveDuration = Field(default=60.0, description="For the client to take anything of the response")
    keepalive: PositiveDuration = Field(default=75.0, description="Idle connections of clients")


class Certificate(Options):
    """PEM files."""

    cert: ExistingFile = Field(description="The certificate with its chain")
    key: ExistingFile = Field(description="Its private key")


class ServerTls(Options):
    """HTTPS for all that `listen` names, or for all but the first with `redirect_http`."""

    cert: ExistingFile = Field(description="The certificate with its chain, PEM")
    key: ExistingFile = Field(description="Its private key, PEM")
    certificates: list[Certificate] = Field(
        default=[], description="More certificates, chosen by the name that is asked for"
    )
    min_version: Literal["1.2", "1.3"] = Field(default="1.2", description="The oldest TLS version that is spoken")
    ciphers: str | None = Field(default=None, description="Cipher suites of TLS 1.2, as OpenSSL lists them")
    client_ca: ExistingFile | None = Field(default=None, description="Who signs the certificates of clients")
    client_auth: Literal["required", "optional"] | None = Field(
        default=None, description='Whether clients need a certificate; "required" where client_ca is given'
    )
    redirect_http: Switch = Field(
        default=False, description="The first listen entry speaks HTTP and redirects to HTTPS"
    )
    redirect_port: Port | None = Field(
        default=None, description="The public port of HTTPS; that of the second listen entry if left out"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if given.get("client_auth") is not None and given.get("client_ca") is None:
            yield Wrong("has no effect without client_ca", "add client_ca", ("client_auth",))
        if given.get("redirect_port") is not None and not switched(given.get("redirect_http")):
            yield Wrong("has no effect without redirect_http", "add redirect_http = true", ("redirect_port",))

    @property
    def clients_verified(self) -> Literal["required", "optional"] | None:
        """Whether clients need a certificate; None where none is asked for."""
        return None if self.client_ca is None else self.client_auth or "required"


class Server(Options):
    """Used by `gateway run`; under another ASGI server only what it does not decide itself."""

    listen: Annotated[list[ListenAddress], BeforeValidator(several, json_schema_input_type=list[str] | str)] = Field(
        default=["127.0.0.1:8080"], min_length=1, description='"host:port", ":port", "[::1]:port" or "unix:/path"'
    )
    workers: Whole = Field(default=1, ge=1, description="Processes; WEB_CONCURRENCY where it is left out")
    trusted_proxies: list[Network] = Field(
        default=[], description="Whose Forwarded and X-Forwarded-* fields are believed: addresses and networks"
    )
    request_id: HeaderName = Field(default="X-Request-ID", description="The header field of the request's id")
    drain_timeout: Duration = Field(default=30.0, description="How long exchanges may go on when the gateway stops")
    watch: Switch = Field(default=False, description="Read the file again whenever it has changed")
    access: Access | None = Field(default=None, description="Who may come in, before any route")
    limits: ServerLimits = Field(default=ServerLimits(), description="What is borne of clients")
    timeouts: ServerTimeouts = Field(default=ServerTimeouts(), description="How long clients are waited for")
    tls: ServerTls | None = Field(default=None, description="HTTPS")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        listen = several(given.get("listen"))
        entries = list(listen) if isinstance(listen, list | tuple) else []
        for index, entry in enumerate(entries):
            if entry in entries[:index]:
                yield Wrong(f'"{entry}" is there twice', at=("listen", index))
        tls = given.get("tls")
        if tls is not None and switched(read(tls, "redirect_http")):
            yield from _redirect_faults(entries, read(tls, "redirect_port"))

    @property
    def https_port(self) -> int | None:
        """The port that redirects from HTTP name; None where there are none."""
        if self.tls is None or not self.tls.redirect_http:
            return None
        return self.tls.redirect_port or split_listen(self.listen[1]).port


def _redirect_faults(entries: list[Any], port: object) -> Iterator[Wrong]:
    at = ("tls", "redirect_http")
    if len(entries) < _ENTRIES_FOR_REDIRECT:
        hint = 'for example listen = [":80", ":443"]'
        yield Wrong("needs a listen entry for HTTP, the first, and one for HTTPS", hint, at)
    elif port is None and isinstance(entries[1], str) and entries[1].startswith("unix:"):
        yield Wrong("cannot know the public port of HTTPS behind a Unix socket", "add redirect_port = 443", at)
