"""Which route a request takes: the first in file order whose host, path, method, fields and query all match.

Routes are matched on the path's meaning (`rfc.uri.match_path`), not on its spelling. To look only at routes that can
match, they are indexed: by the host first, then by the literal beginning of their path, so that the cost of a lookup
follows the depth of the path and not the number of routes. Within what the index gives, file order decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.rfc.uri import SLASH, host_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.exchange import Exchange
    from gateway.route import Route

Captures = dict[str, bytes]

REST: Final = "path"  # the capture that holds what a final `*` matched
_HOSTS: Final = 1024  # authorities whose table is remembered; a full memo is cleared
_CAPTURE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SAFE: Final = "/!$&'()*+,;=:@-._~"


class PathPattern:
    """`/x`, `/x/*`, `/users/{id}`, `/users/{id}/*`, or a regular expression that matches the whole path.

    literal: the path up to its first variable segment, without a final slash. base: the path that all it matches is or
    lies below, without a final slash; of an exact one the path itself. names: what it captures. `/*` takes all there
    is, the `*` of OPTIONS too (RFC 9110 section 9.3.7).
    """

    __slots__ = ("_expression", "base", "is_exact", "is_prefix", "literal", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        plain = text.removesuffix("/*")
        variable = any(char in plain for char in "{}*")
        self.is_prefix = not variable and plain != text
        self.is_exact = not variable and plain == text
        literal = plain.partition("{")[0]
        self.literal = (literal if literal == plain and not self.is_prefix else literal.rstrip("/")).encode()
        self.base = literal[: literal.rfind("/") + 1].rstrip("/").encode() if variable else self.literal
        self._expression = re.compile(_expression(text).encode(), re.S) if variable else None
        self.names = tuple(_CAPTURE.findall(text)) + ((REST,) if plain != text else ())

    @classmethod
    def from_regex(cls, expression: str) -> PathPattern:
        """A path_regex; ValueError where it does not compile."""
        pattern = cls("/*")
        pattern.text = expression
        pattern.is_prefix = False
        try:
            pattern._expression = re.compile(expression.encode(), re.S)
        except re.error as exc:
            msg = f'"{expression}" is not a regular expression: {exc}'
            raise ValueError(msg) from None
        pattern.names = tuple(pattern._expression.groupindex)
        return pattern

    def match(self, path: bytes) -> Captures | None:
        """What it captured, or None."""
        if self.is_prefix:
            literal = self.literal
            if not literal or (path.startswith(literal) and path[len(literal) : len(literal) + 1] in (b"/", b"")):
                return {REST: path[len(literal) + 1 :]}
            return None
        if self._expression is None:
            return {} if path == self.literal else None
        matched = self._expression.fullmatch(path)
        return None if matched is None else {name: value or b"" for name, value in matched.groupdict().items()}


def _expression(text: str) -> str:
    """The regular expression of a path with captures. Raises ValueError for what is no such path."""
    plain = text.removesuffix("/*")
    pieces = _CAPTURE.split(plain)
    names = pieces[1::2]
    if any(char in piece for piece in pieces[::2] for char in "{}*") or len(set(names)) != len(names) or REST in names:
        msg = f'"{text}" is not a path such as "/x", "/x/*" or "/users/{{id}}/*", each name once and none of them "{REST}"'
        raise ValueError(msg)
    parts = [re.escape(piece) if index % 2 == 0 else f"(?P<{piece}>[^/]+)" for index, piece in enumerate(pieces)]
    return "".join(parts) + ("" if plain == text else f"(?:/(?P<{REST}>.*))?")


def compile_path(text: str) -> PathPattern:
    """ValueError says what is wrong with a route's `path`."""
    if not text.startswith("/"):
        msg = f'"{text}" does not begin with "/"'
        raise ValueError(msg)
    return PathPattern(text)


class FieldMatch:
    """A condition on a header field or a query parameter: exact text, `*` for any value, or `re:` and an expression."""

    __slots__ = ("_accepts", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name.encode()
        self._accepts = _acceptor(value)

    def accepts(self, values: Iterable[bytes]) -> bool:
        return any(self._accepts(value) for value in values)


def _acceptor(text: str) -> Callable[[bytes], bool]:
    if text == "*":
        return lambda _: True
    if text.startswith("re:"):
        try:
            full = re.compile(text[3:].encode(), re.S).fullmatch
        except re.error as exc:
            msg = f'"{text[3:]}" is not a regular expression: {exc}'
            raise ValueError(msg) from None
        return lambda value: full(value) is not None
    expected = text.encode()
    return lambda value: value == expected


class Match:
    """The conditions of one route. hosts: lowercase, `*.example.com` for any name below; empty for all."""

    __slots__ = ("fields", "hosts", "is_plain", "methods", "path", "query")

    def __init__(
        self,
        path: PathPattern,
        *,
        hosts: Sequence[str] = (),
        methods: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.hosts = tuple(host.lower().encode() for host in hosts)
        self.methods = frozenset(_with_head(method.encode() for method in methods))
        self.fields = tuple(FieldMatch(name.lower(), value) for name, value in (headers or {}).items())
        self.query = tuple(FieldMatch(name, value) for name, value in (query or {}).items())
        self.is_plain = not (self.methods or self.fields or self.query)

    def takes_host(self, name: bytes) -> bool:
        return not self.hosts or any(_host_matches(host, name) for host in self.hosts)

    def takes_request(self, exchange: Exchange) -> bool:
        """The conditions beyond host, path and method."""
        for field in self.fields:
            if not field.accepts(exchange.header_values(field.name)):
                return False
        if self.query:
            parameters = _parameters(exchange.query or b"")
            return all(wanted.accepts(parameters.get(wanted.name, ())) for wanted in self.query)
        return True


def _with_head(methods: Iterable[bytes]) -> set[bytes]:
    """Who serves GET serves HEAD (RFC 9110 section 9.3.2)."""
    listed = set(methods)
    return listed | {b"HEAD"} if b"GET" in listed else listed


def _host_matches(pattern: bytes, name: bytes) -> bool:
    if pattern.startswith(b"*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return pattern == name


def _parameters(query: bytes) -> dict[bytes, list[bytes]]:
    """Bytes as they are: `urllib.parse.parse_qsl` fails on those that are not ASCII."""
    found: dict[bytes, list[bytes]] = {}
    for parameter in query.replace(b"+", b" ").split(b"&"):
        if parameter:
            name, _, value = parameter.partition(b"=")
            found.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return found


@dataclass(frozen=True, slots=True)
class Rejected:
    """A route takes this host and path, but not the method. allow: the methods that one would."""

    allow: frozenset[bytes]


def _patterns(name: bytes) -> Iterator[bytes]:
    """All the hosts of a `Match` that would take this one."""
    yield name
    dot = name.find(b".", 1)
    while dot > 0:
        yield b"*" + name[dot:]
        dot = name.find(b".", dot + 1)


class Router:
    """Hosts that the same patterns take share a table, so that there are no more tables than patterns and one."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._hosts = frozenset(host for route in routes for host in route.match.hosts)
        self._everywhere = None if self._hosts else _Table(self.routes)
        self._tables: dict[tuple[bytes, ...], _Table] = {}
        self._known: dict[bytes, _Table] = {}

    def find(self, exchange: Exchange) -> tuple[Route, Captures] | Rejected | None:
        table = self._everywhere or self._known.get(exchange.host) or self._table(exchange.host)
        path = exchange.match_path
        allow: frozenset[bytes] | None = None
        for route in table.candidates(path):
            match = route.match
            captures = match.path.match(path)
            if captures is None:
                continue
            if match.is_plain:
                return route, captures
            if match.methods and exchange.method not in match.methods:
                if match.takes_request(exchange):
                    allow = match.methods if allow is None else allow | match.methods
            elif match.takes_request(exchange):
                return route, captures
        return None if allow is None else Rejected(allow)

    def _table(self, authority: bytes) -> _Table:
        name = host_name(authority)
        taken_by = tuple(pattern for pattern in _patterns(name) if pattern in self._hosts)
        table = self._tables.get(taken_by)
        if table is None:
            table = self._tables[taken_by] = _Table([route for route in self.routes if route.match.takes_host(name)])
        if len(self._known) >= _HOSTS:
            self._known.clear()
        self._known[authority] = table
        return table


class _Table:
    """Routes by the literal beginning of their path: the whole of an exact one, the base of a pattern.

    What may match below a beginning is gathered when it is first asked for, in file order. No pattern's base has more segments
    than `_depth`, so a request's path is not looked at beyond them, however deep it is.
    """

    __slots__ = ("_at", "_depth", "_found", "_routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._at: dict[bytes, list[int]] = {b"": []}  # "/*" and all patterns without a literal beginning
        self._found: dict[bytes, tuple[Route, ...]] = {}
        for order, route in enumerate(routes):
            self._at.setdefault(route.match.path.base, []).append(order)
        patterns = [route.match.path for route in routes if not route.match.path.is_exact]
        self._depth = max([pattern.base.count(b"/") for pattern in patterns], default=0)

    def candidates(self, path: bytes) -> tuple[Route, ...]:
        """Those whose literal beginning fits, and perhaps exact ones that do not match."""
        at = self._at
        beginning = b""
        if path in at:
            beginning = path
        else:
            left = self._depth
            for end in range(1, len(path) if left else 0):
                if path[end] != SLASH:
                    continue
                if path[:end] in at:
                    beginning = path[:end]
                left -= 1
                if not left:
                    break
        found = self._found.get(beginning)
        return self._gather(beginning) if found is None else found

    def _gather(self, beginning: bytes) -> tuple[Route, ...]:
        orders = {order for base in (*_bases(beginning), b"") for order in self._at.get(base, ())}
        found = tuple(self._routes[order] for order in sorted(orders))
        self._found[beginning] = found
        return found


def _bases(path: bytes) -> Iterator[bytes]:
    """The path and all that it lies below, up to a slash each."""
    end = len(path)
    while end > 0:
        yield path[:end]
        end = path.rfind(b"/", 0, end)


def quoted(captures: Captures) -> Captures:
    """Captures of a decoded path as they may stand in a request target again."""
    return {name: quote_from_bytes(value, safe=_SAFE).encode() for name, value in captures.items()}
