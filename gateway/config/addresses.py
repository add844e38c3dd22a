"""Where the gateway listens, and where targets are."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator

from gateway.config.faults import Wrong
from gateway.rfc.uri import valid_host

_LAST_PORT = 65535
_APP = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9_.-]+:\d+|\[[0-9A-Fa-f:.]+\]:\d+")
_LISTEN_FORMS = 'write "host:port", ":port", "[::1]:port" or "unix:/path"'
_TARGET_FORMS = 'write "http://host:port", "https://host", "unix:/path" or "asgi://module:app"'


class Listen(NamedTuple):
    """path: of a Unix socket, or empty. host: empty for all interfaces, IPv6 without brackets."""

    host: str
    port: int
    path: str = ""


def split_listen(text: str) -> Listen:
    """The parts of a `listen` entry. ValueError where it is none."""
    if text.startswith("unix:"):
        return Listen("", 0, _socket_path(text))
    if "://" in text:
        raise Wrong(f'"{text}" is a URL', f"{_LISTEN_FORMS}; HTTPS comes by tls")
    if text.isdecimal():
        raise Wrong(f'"{text}" is not an address', f'write ":{text}" for all interfaces or "127.0.0.1:{text}"')
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal():
        raise Wrong(f'"{text}" has no port', _LISTEN_FORMS)
    if int(port) > _LAST_PORT:
        raise Wrong(f'"{text}" has a port above {_LAST_PORT}')
    if host in ("", "*"):
        return Listen("", int(port))
    if host.startswith("[") or ":" in host:
        return Listen(_ipv6(host, text), int(port))
    if not valid_host(host.encode()):
        raise Wrong(f'"{host}" is not a host', _LISTEN_FORMS)
    return Listen(host, int(port))


def _ipv6(host: str, text: str) -> str:
    inner = host.removeprefix("[").removesuffix("]")
    try:
        IPv6Address(inner)
    except ValueError:
        raise Wrong(f'"{text}" is not an address', _LISTEN_FORMS) from None
    if not host.startswith("[") or not host.endswith("]"):
        raise Wrong(f'"{text}" needs brackets', f'write "[{inner}]:{text.rpartition(":")[2]}"')
    return inner


def target_url(text: str) -> str:
    """The URL of a target, without a final slash. ValueError where it is none."""
    if text.startswith("unix:"):
        _socket_path(text)
        return text
    scheme, separator, rest = text.partition("://")
    if not separator:
        hint = f'write "http://{text}"' if _HOST_AND_PORT.fullmatch(text) else _TARGET_FORMS
        raise Wrong(f'"{text}" is not a URL', hint)
    if scheme == "asgi":
        if not _APP.fullmatch(rest):
            raise Wrong(f'"{text}" names no ASGI app', 'write "asgi://package.module:app"')
        return text
    if scheme not in ("http", "https"):
        plain = {"ws": "http", "wss": "https", "h2c": "http", "tcp": "http", "HTTP": "http", "HTTPS": "https"}
        hint = f'write "{plain[scheme]}://{rest}"' if scheme in plain else _TARGET_FORMS
        raise Wrong(f'"{scheme}" is no scheme of a target', hint)
    return _web_url(text)


def _web_url(text: str) -> str:
    """http and https: an origin and nothing else."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Wrong(f'"{text}" is not a URL with a port from 1 to {_LAST_PORT}', _TARGET_FORMS) from None
    if not host or port == 0:
        raise Wrong(f'"{text}" has no {"port from 1" if host else "host"}', _TARGET_FORMS)
    if parts.username is not None or parts.password is not None:
        raise Wrong(f'"{text.replace(parts.netloc.rpartition("@")[0], "***")}" has user information',
                    "send it by request_headers: set = { Authorization = ... }")  # fmt: skip
    if parts.path not in ("", "/"):
        raise Wrong(f'"{text}" has a path: a target is host and port alone', f'use add_prefix = "{parts.path}"')
    if parts.query or parts.fragment:
        raise Wrong(f'"{text}" has a query or fragment: a target is host and port alone')
    if not valid_host(parts.netloc.encode()):
        raise Wrong(f'"{parts.netloc}" is not a host', _TARGET_FORMS)
    return text.removesuffix("/")


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.startswith("//"):
        raise Wrong(f'"{text}" is not the path of a socket', f'write "unix:/{path.lstrip("/") or "run/gateway.sock"}"')
    return path


def nameserver(text: str) -> str:
    """As "address:port", IPv6 in brackets. ValueError where it is none."""
    host, port = text, 53
    if text.startswith("[") or text.count(":") == 1:
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "", parts.port or 53
        except ValueError:
            host = ""
    try:
        address = ip_address(host)
    except ValueError:
        raise Wrong(f'"{text}" is not the address of a name server', 'write "10.0.0.2" or "127.0.0.1:5353"') from None
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def is_url(text: str) -> bool:
    """True where `upstream` gives a target itself and not the name of an upstream."""
    return "://" in text or text.startswith("unix:")


def _listen(text: str) -> str:
    split_listen(text)
    return text


def upstream_reference(text: str) -> str:
    """The name of an upstream, or the URL of its only target."""
    if is_url(text):
        return target_url(text)
    if _HOST_AND_PORT.fullmatch(text):
        raise Wrong(f'"{text}" is neither the name of an upstream nor a URL', f'write "http://{text}"')
    return text


ListenAddress = Annotated[str, AfterValidator(_listen)]
TargetUrl = Annotated[str, AfterValidator(target_url)]
UpstreamReference = Annotated[str, AfterValidator(upstream_reference)]
Nameserver = Annotated[str, AfterValidator(nameserver)]
