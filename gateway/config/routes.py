"""`[[routes]]`: which requests, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gateway.config.access import Access
from gateway.config.addresses import UpstreamReference
from gateway.config.balance import HashOn, StickyOptions
from gateway.config.caching import CacheSwitch, host_fault
from gateway.config.edits import RequestHeaderEdits, ResponseHeaderEdits
from gateway.config.faults import KeyPath, Wrong
from gateway.config.inherited import CompressionSwitch, HstsSwitch, Timeouts
from gateway.config.options import FromEnvironment, Options, Whole, described, read, whole
from gateway.config.texts import (
    Condition,
    HeaderName,
    Hosts,
    HostValue,
    Label,
    Method,
    PathRegex,
    PathText,
    Prefix,
)
from gateway.config.units import PositiveDuration, Size
from gateway.policies.respond import FixedAnswer, Redirect
from gateway.policies.template import SOURCES, Template
from gateway.router import PathPattern, compile_path

_REWRITE = re.compile(r"[!-~]*")  # further bytes must be percent-encoded in a request target

ACTIONS = ("upstream", "split", "redirect", "respond")
_FORWARDING = ("upstream", "split")
_PLACE = "write it in [upstreams.NAME], or leave it out"
_ONLY_FORWARDED = (
    "mirror", "strip_prefix", "add_prefix", "rewrite", "request_headers", "timeouts", "host_header", "max_body", "cache",
)  # fmt: skip


class Share(Options):
    """An upstream's part of a route's requests."""

    upstream: UpstreamReference = Field(description="The name of an upstream, or a URL")
    weight: Whole = Field(default=1, ge=1, le=1000, description="Its part, beside those of the others")


def _percent(value: object) -> object:
    if isinstance(value, FromEnvironment):
        try:
            return float(value)
        except ValueError:
            raise Wrong(f'"{value}" is not a number') from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = value.strip(" %") if isinstance(value, str) else ""
        raise Wrong(f"a number is wanted, not {described(value)}", f"write {text}" if text.isdecimal() else "write for example 5")
    return value


class MirrorOptions(Options):
    """A part of a route's requests goes to another upstream as well; what that answers is dropped."""

    upstream: UpstreamReference = Field(description="The name of an upstream, or a URL")
    percent: Annotated[float, BeforeValidator(_percent)] = Field(
        default=100, gt=0, le=100, description="Of the requests of the route, chosen by chance"
    )
    timeout: PositiveDuration = Field(default=10.0, description="For a whole copy, to the end of its answer")
    max_in_flight: Whole = Field(default=100, ge=1, description="Copies under way at a time; none is made above")


class RedirectOptions(Options):
    to: str = Field(description="A path or an absolute URI, with {path}, captures, {host} and {scheme}")
    status: Whole = Field(default=308, description="301, 302, 303, 307 or 308")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        to, status = given.get("to"), whole(given.get("status", 308))
        if isinstance(to, str):
            yield from _refusal(("to",), partial(Redirect, to))
        if status is not None:
            yield from _refusal(("status",), partial(Redirect, "/", status))


class RespondOptions(Options):
    status: Whole = Field(default=200, description="From 200 to 599")
    body: str = Field(default="", description="Plain text, unless headers say another Content-Type")
    headers: dict[str, str] = Field(default={}, description="Header fields of the response")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        status, body, headers = whole(given.get("status", 200)), given.get("body", ""), given.get("headers")
        if status is not None and isinstance(body, str):
            yield from _refusal(("status",), partial(FixedAnswer, status, body))
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            if isinstance(value, str):
                yield from _refusal(("headers", name), partial(FixedAnswer, 200, "", {name: value}))


class RouteOptions(Options):
    """Routes are tried in the order of the file; the first that matches takes the request."""

    name: Label = Field(default="", description='In logs; "route-1" and so on if left out')
    host: Hosts = Field(default=[], description='Names, "*.example.com" for all below one; empty for every host')
    path: PathText = Field(default="/*", description='"/x", "/x/*" (and "/x" itself), "/users/{id}", "/users/{id}/*"')
    path_regex: PathRegex | None = Field(
        default=None, description="A regular expression for the whole path, instead of path"
    )
    methods: list[Method] = Field(default=[], description="Empty for all; GET includes HEAD")
    headers: dict[HeaderName, Condition] = Field(
        default={}, description='Exact values, "*" for any, "re:..." for a pattern'
    )
    query: dict[str, Condition] = Field(default={}, description='Exact values, "*" for any, "re:..." for a pattern')

    upstream: UpstreamReference | None = Field(default=None, description="The name of an upstream, or a URL")
    split: list[Share] = Field(default=[], description="Several upstreams by weight")
    hash_on: HashOn = Field(
        default=[], description="By what a client keeps its share of a split; words as for an upstream"
    )
    sticky: StickyOptions | None = Field(
        default=None, description="A cookie by which clients keep their share of a split"
    )
    mirror: MirrorOptions | None = Field(default=None, description="A part goes to another upstream as well")
    redirect: RedirectOptions | None = Field(default=None, description="Send the client elsewhere")
    respond: RespondOptions | None = Field(default=None, description="A fixed response")

    strip_prefix: Prefix | None = Field(default=None, description="Taken off the path on its way to the target")
    add_prefix: Prefix | None = Field(default=None, description="Put before the path, after strip_prefix")
    rewrite: str | None = Field(default=None, description="A whole new path with {captures}")
    request_headers: RequestHeaderEdits | None = Field(default=None, description="Edits on the way to the target")
    response_headers: ResponseHeaderEdits | None = Field(default=None, description="Edits on the way to the client")
    timeouts: Timeouts = Field(default=Timeouts(), description="Over those of the upstream and of [defaults]")
    host_header: HostValue | None = Field(default=None, description="Over that of the upstream")
    access: Access | None = Field(default=None, description="Who may come in, beside server.access")
    compression: CompressionSwitch = Field(default=None, description="Instead of that of [defaults]")
    hsts: HstsSwitch = Field(default=None, description="Instead of that of [defaults]")
    max_body: Size | None = Field(default=None, description="Instead of that of server.limits")
    cache: CacheSwitch = Field(default=None, description="Responses are stored and used again; true for the defaults")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        stated = {key for key, value in given.items() if value is not None and value != []} | cls.meant(given)
        yield from _action_faults(stated)
        if "path_regex" in stated and "path" in stated:
            yield Wrong("excludes path", "leave one of them out", ("path_regex",))
        if "rewrite" in stated:
            for key in ("strip_prefix", "add_prefix"):
                if key in stated:
                    yield Wrong("excludes rewrite, which is the whole new path", "leave one of them out", (key,))
        yield from _capture_faults(given)
        yield from host_fault(given)

    @property
    def shares(self) -> list[Share]:
        """Where requests are forwarded: of `upstream` or of `split`; empty where the route answers itself."""
        return [Share(upstream=self.upstream)] if self.upstream is not None else self.split

    @property
    def upstreams(self) -> list[str]:
        """All that requests may be sent to, by name or URL."""
        named = [share.upstream for share in self.shares]
        return named if self.mirror is None else [*named, self.mirror.upstream]


def _action_faults(stated: set[str]) -> Iterator[Wrong]:
    actions = [action for action in ACTIONS if action in stated]
    if not actions:
        yield Wrong("the route does nothing", f"add one of {', '.join(ACTIONS)}")
    for action in actions[1:]:
        yield Wrong(f"excludes {actions[0]}: a route does one thing", "leave one of them out", (action,))
    if actions and actions[0] != "split":
        for key in ("hash_on", "sticky"):
            if key in stated:
                yield Wrong(f"has no effect with {actions[0]}: it chooses among the shares of a split", _PLACE, (key,))
    if actions and actions[0] not in _FORWARDING:
        for key in _ONLY_FORWARDED:
            if key in stated:
                yield Wrong(f"has no effect with {actions[0]}: nothing is forwarded", "leave it out", (key,))


def _capture_faults(given: Mapping[str, Any]) -> Iterator[Wrong]:
    """Placeholders that the route's path does not capture."""
    captured = _captured(given)
    if captured is None:
        return
    rewrite, to = given.get("rewrite"), read(given.get("redirect"), "to")
    if isinstance(rewrite, str):
        yield from _rewrite_faults(rewrite)
        yield from _unknown_names(Template(rewrite, _nothing).names, captured, ("rewrite",))
    if isinstance(to, str) and not list(_refusal((), partial(Redirect, to))):
        yield from _unknown_names(Redirect(to).captures, captured, ("redirect", "to"))


def _rewrite_faults(rewrite: str) -> Iterator[Wrong]:
    if not rewrite.startswith("/"):
        yield Wrong(f'"{rewrite}" does not begin with "/"', f'write "/{rewrite}"', ("rewrite",))
    if not _REWRITE.fullmatch(rewrite):
        yield Wrong(f'"{rewrite}" has a character that no path may hold', "percent-encode it", ("rewrite",))


def _unknown_names(used: Iterable[str], captured: frozenset[str], at: KeyPath) -> Iterator[Wrong]:
    for name in sorted(set(used) - captured - SOURCES.keys()):
        known = ", ".join(f"{{{capture}}}" for capture in sorted(captured)) or "nothing"
        yield Wrong(f"{{{name}}} is not captured by the route's path", f"it captures {known}", at)


def _nothing(_name: str) -> Callable[[object], bytes]:
    return lambda _exchange: b""


def _captured(given: Mapping[str, Any]) -> frozenset[str] | None:
    """The names that the path captures; None where it is not a valid one."""
    path, expression = given.get("path", "/*"), given.get("path_regex")
    try:
        if isinstance(expression, str):
            return frozenset(PathPattern.from_regex(expression).names)
        return frozenset(compile_path(path).names) if isinstance(path, str) else None
    except ValueError:
        return None


def _refusal(at: KeyPath, make: Callable[[], object]) -> Iterator[Wrong]:
    """What a policy's constructor says to its options."""
    try:
        make()
    except ValueError as exc:
        yield Wrong(str(exc), at=at)
