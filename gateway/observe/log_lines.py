"""An exchange as a line of the access log: as JSON, or in the combined format of web servers.

Everything that a client chose is escaped: a line is always ASCII without control characters, whatever was sent. What many
lines say alike is written once and kept.
"""

from __future__ import annotations

import re
import time
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from gateway.observe.trace import USUAL_LENGTH
from gateway.rfc.octets import changing_all_but

if TYPE_CHECKING:
    from gateway.exchange import Exchange

    Format = Literal["json", "combined"]
    # method, host, route, status, HTTP version, entrance, upstream, target, attempts, reused, what the cache did
    _Facts = tuple[bytes, bytes, str, int, str, str, str, str, int, bool, str]

_MEMO_ENTRIES: Final = 2048
_MEMO_LENGTH: Final = 512  # bytes
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale
_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))
_MILLISECONDS: Final = tuple(b'.%03dZ","request_id":"' % number for number in range(1000))
_IN_TEXTS: Final = changing_all_but([byte for byte in range(32, 127) if byte not in b'"\\'])
_TO_ESCAPE: Final = re.compile(r"[^ !#-\[\]-~]")

_Key = TypeVar("_Key")


class JsonLines:
    """Times are seconds, `duration` and `first_byte` since the request began. What an exchange does not have is left
    out, but for `route`, which is null then."""

    __slots__ = ("_agents", "_clients", "_facts", "_last_facts", "_last_text")

    def __init__(self) -> None:
        self._agents: dict[bytes, bytes] = {}
        self._clients: dict[str, bytes] = {}
        self._facts: dict[_Facts, bytes] = {}
        self._last_facts: object = None  # many lines repeat those of the one before
        self._last_text = b""

    def stamp(self, moment: time.struct_time) -> bytes:
        return time.strftime('{"time":"%Y-%m-%dT%H:%M:%S', moment).encode()

    def line(self, exchange: Exchange, stamp: bytes, milliseconds: int) -> bytes:
        started = exchange.started_at
        path = exchange.mount + exchange.path if exchange.mount else exchange.path
        if exchange.query is not None:
            path = path + b"?" + exchange.query
        error = exchange.error
        status = exchange.status
        if error is not None:
            status = status or error.status
        outcome = exchange.cache
        facts: _Facts = (
            exchange.method, exchange.host, "" if exchange.route is None else exchange.route.name, status,
            exchange.http_version, exchange.entrance, exchange.upstream_name,
            "" if exchange.target is None else exchange.target.name, exchange.attempts, exchange.reused,
            "" if outcome is None else outcome.word,
        )  # fmt: skip
        if facts != self._last_facts:
            self._last_text = self._facts.get(facts) or self._new_facts(facts)
            self._last_facts = facts
        first_byte = more = trace = b""
        if exchange.first_byte_at:
            first_byte = b',"first_byte":' + _seconds(exchange.first_byte_at - started)
        if error is not None:
            more = f',"error":{quoted(error.proxy_error)},"reason":{quoted(str(error))}'.encode()
        parent = exchange.traceparent
        if parent:
            trace = b',"traceparent":"%b"' % (parent if len(parent) == USUAL_LENGTH else _plain(parent))
        return b'%b%b%b%b%b%b%b,"bytes_out":%b,"duration":%b%b%b%b%b}\n' % (
            stamp, _MILLISECONDS[milliseconds],
            _plain(exchange.request_id) if exchange.trusted else exchange.request_id,  # hex digits, where it is ours
            self._clients.get(exchange.client) or self._new_client(exchange.client), _plain(path),
            self._last_text, _number(exchange.bytes_in), _number(exchange.bytes_out),
            _seconds(exchange.ended_at - started), first_byte, more, self._sender(exchange), trace,
        )  # fmt: skip

    def _sender(self, exchange: Exchange) -> bytes:
        """What the request's fields say; kept with those that more than one request has."""
        fields = exchange.fields
        if fields is not None and fields.noted is not None:
            return fields.noted
        agent = referer = b""
        for name, value in exchange.headers:
            if name == b"user-agent":
                agent = value
            elif name == b"referer":
                referer = value
        text = b""
        if agent:
            text = self._agents.get(agent) or self._new_agent(agent)
        if referer:
            text = b'%b,"referer":"%b"' % (text, _plain(referer))
        if fields is not None:
            fields.noted = text
        return text

    def _new_client(self, client: str) -> bytes:
        text = f'","client":{quoted(client)},"path":"'.encode()
        _remember(self._clients, client, text)
        return text

    def _new_facts(self, facts: _Facts) -> bytes:
        method, host, route, status, version, entrance, upstream, target, attempts, reused, cache = facts
        text = (
            f'","method":{quoted(method.decode("latin-1"))},"host":{quoted(host.decode("latin-1"))},'
            f'"route":{quoted(route) if route else "null"},"status":{status},'
            f'"http":{quoted(version)},"entrance":{quoted(entrance)},'
        )
        if upstream:
            text += f'"upstream":{quoted(upstream)},'
        if target:
            text += f'"target":{quoted(target)},"attempts":{attempts},"reused":{"true" if reused else "false"},'
        if cache:
            text += f'"cache":{quoted(cache)},'
        data = f'{text}"bytes_in":'.encode()
        _remember(self._facts, facts, data)
        return data

    def _new_agent(self, agent: bytes) -> bytes:
        text = f',"user_agent":{quoted(agent.decode("latin-1"))}'.encode()
        _remember(self._agents, agent, text)
        return text


def _plain(value: bytes) -> bytes:
    """As it stands between the quotes of a JSON text."""
    if value.translate(_IN_TEXTS) == value:
        return value
    return quoted(value.decode("latin-1"))[1:-1].encode()


def _seconds(value: float) -> bytes:
    """With microseconds. (`%.6f` takes several times as long.)"""
    micro = int(value * 1e6 + 0.5)
    milli = micro // 1000
    if 0 <= milli < 1000:
        return b"0.%b%b" % (_DIGITS[milli], _DIGITS[micro - 1000 * milli])
    return f"{value:.6f}".encode()


def _number(value: int) -> bytes:
    return str(value).encode() if value else b"0"


class CombinedLines:
    """The format of nginx and Apache; quotes, backslashes and all but visible ASCII become \\xHH, as in nginx."""

    __slots__ = ()

    def stamp(self, moment: time.struct_time) -> bytes:
        return time.strftime(f"%d/{_MONTHS[moment.tm_mon - 1]}/%Y:%H:%M:%S +0000", moment).encode()

    def line(self, exchange: Exchange, stamp: bytes, _milliseconds: int) -> bytes:
        agent = exchange.header(b"user-agent") or b""
        referer = exchange.header(b"referer") or b""
        path = exchange.mount + exchange.path
        if exchange.query is not None:
            path += b"?" + exchange.query
        request = f"{exchange.method.decode('latin-1')} {path.decode('latin-1')} HTTP/{exchange.http_version}"
        status = exchange.status or (exchange.error.status if exchange.error is not None else 0)
        return (
            f"{_escaped(exchange.client) or '-'} - - [{stamp.decode()}] "
            f'"{_escaped(request)}" {status} {exchange.bytes_out} '
            f'"{_escaped(referer.decode("latin-1")) or "-"}" "{_escaped(agent.decode("latin-1")) or "-"}"\n'
        ).encode("ascii")


def _remember(memo: dict[_Key, bytes], key: _Key, text: bytes) -> None:
    """Most requests repeat what others said. What is long is not kept; a full memo is cleared."""
    if len(text) > _MEMO_LENGTH:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[key] = text


def _escaped(text: str) -> str:
    return _TO_ESCAPE.sub(_hex, text) if _TO_ESCAPE.search(text) else text


def _hex(match: re.Match[str]) -> str:
    character = match[0]
    return "".join([f"\\x{byte:02X}" for byte in character.encode("latin-1" if character <= "\xff" else "utf-8")])


FORMATS: Final[dict[str, type[JsonLines | CombinedLines]]] = {"json": JsonLines, "combined": CombinedLines}
