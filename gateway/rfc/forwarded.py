"""Who the client is, and how the target is told (RFC 7239 and the X-Forwarded-* fields): pure.

A peer's word about who came before it counts only where the peer is a trusted proxy; anybody else's fields are dropped
and written anew from the connection.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair = tuple[bytes, bytes]

FORWARDING: Final = frozenset(
    {
        b"client-ip", b"forwarded", b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-forwarded",
        b"x-forwarded-by", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix",
        b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-scheme", b"x-forwarded-server", b"x-forwarded-ssl",
        b"x-original-host", b"x-original-url", b"x-real-ip", b"x-rewrite-url",
    }
)  # fmt: skip  # all fields that servers are known to take a client's identity or another target from
CLIENTS: Final = frozenset(
    {
        b"client-ip", b"forwarded", b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-forwarded-by",
        b"x-forwarded-for", b"x-real-ip",
    }
)  # fmt: skip  # those of them that name clients
_ASKED: Final = frozenset({b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-proto"})

_PORTS: Final = {b"http": b"80", b"https": b"443"}
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_PARAMETER: Final = rb"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*")"""
_PARAMETERS: Final = re.compile(_PARAMETER, re.S).findall
_ELEMENT: Final = re.compile(rb"(?:%b)?(?:;[ \t]*(?:%b)?)*" % (_PARAMETER, _PARAMETER), re.S).fullmatch
_NODE: Final = re.compile(rb"[0-9A-Za-z.:\[\]_-]+").fullmatch
_BY_WHOM: Final = re.compile(rb"(?:^|(?<=[;, \t]))(?:by|for)=%b" % _PARAMETER.partition(b"=")[2], re.IGNORECASE | re.DOTALL).sub
_UNKNOWN: Final = b"unknown"
_CHAIN: Final = 64  # members of X-Forwarded-For or Forwarded that are looked at, from the right
_MEMO: Final = 1024  # of each memo; a full one is cleared


def with_twins(names: Iterable[bytes]) -> frozenset[bytes]:
    """Names of fields, and the same with `_` in place of some `-`: servers of the CGI kind read them all as the real one."""
    return frozenset(twin for name in names for twin in _twins(name))


def _twins(name: bytes) -> set[bytes]:
    first, dash, rest = name.partition(b"-")
    if not dash:
        return {name}
    return {first + joint + twin for joint in (b"-", b"_") for twin in _twins(rest)}


FORWARDING_TWINS: Final = with_twins(FORWARDING) - FORWARDING


# ---------------------------------------------------------------- written


_written: Final[dict[tuple[str, str, bytes, bytes], list[Pair]]] = {}


def forwarded_fields(peer: str, client: str, scheme: bytes, host: bytes, prior: list[Pair] | None) -> list[Pair]:
    """The fields for the target; not to be changed by the caller.

    peer: the address of the socket. client: the address behind trusted proxies. prior: the forwarding fields of a
    trusted peer, which are extended; None for anybody else.
    """
    if prior is None:
        key = (peer, client, scheme, host)
        fields = _written.get(key)
        if fields is None:
            fields = _fields(peer, client, scheme, host, {})
            if len(_written) >= _MEMO:
                _written.clear()
            _written[key] = fields
        return fields
    received: dict[bytes, bytes] = {}
    for name, value in prior:
        received[name] = received[name] + b", " + value if name in received else value
    return _fields(peer, client, scheme, host, received)


def _fields(peer: str, client: str, scheme: bytes, host: bytes, received: dict[bytes, bytes]) -> list[Pair]:
    address = _plain(peer)
    chain = received.get(b"x-forwarded-for")
    proto = _single(received.get(b"x-forwarded-proto")) or scheme
    fields = [
        (b"x-forwarded-for", chain + b", " + address if chain else address),
        (b"x-forwarded-proto", proto),
    ]
    shown = _single(received.get(b"x-forwarded-host")) or host
    if shown:
        fields.append((b"x-forwarded-host", shown))
    port = _single(received.get(b"x-forwarded-port")) or _port(shown, proto)
    if port:
        fields.append((b"x-forwarded-port", port))
    if prefix := received.get(b"x-forwarded-prefix"):
        fields.append((b"x-forwarded-prefix", prefix))
    fields.append((b"x-real-ip", _plain(client)))
    element = _element(address, scheme, host)
    before = received.get(b"forwarded")
    fields.append((b"forwarded", before + b", " + element if before else element))
    return fields


def asked_as(prior: list[Pair]) -> bytes:
    """What a trusted peer's fields tell the target of how it was asked, and not of who asked: hosts, schemes, ports and
    prefixes."""
    told = [name + b"=" + value for name, value in prior if name in _ASKED]
    told += [_BY_WHOM(b"", value) for name, value in prior if name == b"forwarded"]
    return b",".join(told)


def _single(value: bytes | None) -> bytes | None:
    """The first member: what the proxy nearest to the client saw."""
    return value.partition(b",")[0].strip(b" \t") if value else None


def _port(host: bytes, scheme: bytes) -> bytes:
    end = host.rfind(b"]")
    _, colon, port = host[end + 1 :].partition(b":")
    return port if colon and port else _PORTS.get(scheme, b"")


def _plain(address: str) -> bytes:
    """Without its zone, which means nothing on another host (RFC 4007 section 6)."""
    return address.partition("%")[0].encode("latin-1", "replace") or _UNKNOWN


def _element(node: bytes, scheme: bytes, host: bytes) -> bytes:
    """One forwarded-element (RFC 7239 section 4); IPv6 addresses and ports need quotes."""
    if b":" in node:
        node = b'"[' + node + b']"'
    element = b"for=" + node
    if host:
        element += b";host=" + (host if _TOKEN(host) is not None else b'"' + host + b'"')
    return element + b";proto=" + scheme


# ---------------------------------------------------------------- read


class Networks:
    """A set of addresses and networks, as sorted ranges; `contains` is a binary search, whose verdicts are remembered.

    An IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`) counts as the IPv4 address, and no IPv4 address is in
    an IPv6 network such as `::/0`. ValueError names what is neither an address nor a network.
    """

    __slots__ = ("_ends", "_starts", "_verdicts")

    def __init__(self, networks: Iterable[str]) -> None:
        ranges = sorted(_range(text) for text in networks)
        merged: list[tuple[int, int]] = []
        for start, end in ranges:
            if merged and start <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        self._starts = [start for start, _ in merged]
        self._ends = [end for _, end in merged]
        self._verdicts: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._starts)

    def contains(self, address: str) -> bool:
        """False for what is no IP address."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            if len(self._verdicts) >= _MEMO:
                self._verdicts.clear()
            verdict = self._verdicts[address] = self._look_up(address)
        return verdict

    def _look_up(self, address: str) -> bool:
        try:
            number = _number(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]


_IPV4: Final = 1 << 128  # where IPv4 begins, behind the IPv6 addresses


def _number(address: IPv4Address | IPv6Address) -> int:
    ipv4 = address if isinstance(address, IPv4Address) else address.ipv4_mapped
    return int(address) if ipv4 is None else int(ipv4) | _IPV4


def _range(text: str) -> tuple[int, int]:
    try:
        network = ip_network(text.strip())
    except ValueError:
        msg = f'"{text}" is not an IP address or a network such as "10.0.0.0/8"'
        try:
            proper = ip_network(text.strip(), strict=False)
        except ValueError:
            raise ValueError(msg) from None
        msg = f'"{text}" has bits set behind its prefix length; the network is "{proper}"'
        raise ValueError(msg) from None
    start = _number(network.network_address)
    return start, start + network.num_addresses - 1


def unmapped(address: str) -> str:
    """The IPv4 address of a client whose socket takes both families, which has it as `::ffff:192.0.2.1`."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def client_address(peer: str, forwarded_for: list[bytes], trusted: Networks) -> str:
    """The address behind trusted proxies: from the right, the first one in X-Forwarded-For that is not trusted.

    forwarded_for: the field's lines. An entry that is no address ends the walk: what lies before it cannot be known.
    """
    if not trusted.contains(peer):
        return peer
    client = peer
    for entry in reversed(b",".join(forwarded_for).rsplit(b",", _CHAIN)[-_CHAIN:]):
        address = _address(entry)
        if address is None:
            break
        client = address
        if not trusted.contains(address):
            break
    return client


def forwarded_for(values: list[bytes]) -> list[bytes]:
    """The `for` parameters of Forwarded lines in the form of X-Forwarded-For entries, `unknown` for an element without.

    Read from the right, piece by piece until the pieces are an element: a trusted proxy wrote the last one, and a quote
    that a client left open further left, or a comma in a quoted host, must not hide or forge what that says.
    """
    pieces = b",".join(values).rsplit(b",", _CHAIN)[-_CHAIN:]
    nodes: list[bytes] = []
    element: bytes | None = None
    for piece in reversed(pieces):
        if element is None and not piece.strip(b" \t"):
            continue  # RFC 9110 section 5.6.1: empty members count for nothing
        element = piece if element is None else piece + b"," + element
        if _ELEMENT(element.strip(b" \t")) is not None:
            nodes.append(_node(element))
            element = None
    if element is not None:
        nodes.append(_UNKNOWN)
    nodes.reverse()
    return nodes


def _node(element: bytes) -> bytes:
    named = [value.strip(b'"') for name, value in _PARAMETERS(element) if name.lower() == b"for"]
    return named[0] if len(named) == 1 and _NODE(named[0]) is not None else _UNKNOWN


def _address(entry: bytes) -> str | None:
    """The address in an entry that may have a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`."""
    text = entry.strip(b" \t").decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
