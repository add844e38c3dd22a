"""`[cache]` and `[routes.cache]`: where responses are stored, and what a route does with its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.cache.key import COOKIE, HEADER, HOST, PARTS, PATH, QUERY
from gateway.cache.rules import CACHEABLE_METHODS, DEFAULT_MAX_OBJECT, DEFAULT_STALE_IF_ERROR
from gateway.config.faults import Wrong
from gateway.config.inherited import switch
from gateway.config.options import Options, Switch, read, several
from gateway.config.texts import HeaderName
from gateway.config.units import Duration, PositiveDuration, PositiveSize
from gateway.config.words import hint_for_value

DEFAULT_MEMORY = 128 << 20  # bytes
_COOKIE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_BYPASSES = (HEADER, COOKIE, "query:")


def _method(text: str) -> str:
    methods = sorted(method.decode() for method in CACHEABLE_METHODS)
    if text not in methods:
        raise Wrong(f'responses to "{text}" cannot be stored', hint_for_value(text, methods))
    return text


def _key_part(text: str) -> str:
    if text not in PARTS and not _is_named(text, (HEADER, COOKIE)):
        raise Wrong(f'"{text}" is no part of a key', 'choose from "host", "path", "query", "header:NAME", "cookie:NAME"')
    return text


def _bypass(text: str) -> str:
    if not _is_named(text, _BYPASSES):
        raise Wrong(f'"{text}" names nothing of a request', 'write "header:NAME", "cookie:NAME" or "query:NAME"')
    return text


def _is_named(text: str, kinds: tuple[str, ...]) -> bool:
    kind, colon, name = text.partition(":")
    return kind + colon in kinds and _COOKIE.fullmatch(name) is not None


def _error_status(text: str) -> str:
    if not re.fullmatch("[45][0-9][0-9]", text, re.ASCII):
        raise Wrong(f'"{text}" is not the status of an error', 'write for example "404"')
    return text


def _parameter(text: str) -> str:
    if not text or any(char in text for char in "&=#") or "*" in text[:-1]:
        raise Wrong(f'"{text}" is not the name of a parameter', 'write for example "page", or "utm_*"')
    return text


Texts = BeforeValidator(several, json_schema_input_type=list[str] | str)
KeyPart = Annotated[str, AfterValidator(_key_part)]
Parameter = Annotated[str, AfterValidator(_parameter)]


class CacheOptions(Options):
    """Where the responses are that routes with a cache store."""

    store: Literal["memory", "redis", "tiered"] = Field(
        default="memory", description="In each worker's memory, in Redis for all, or in memory before Redis"
    )
    memory: PositiveSize = Field(default=DEFAULT_MEMORY, description="For all entries of one worker")
    max_object: PositiveSize = Field(default=DEFAULT_MAX_OBJECT, description="Larger responses are not stored")
    tags_header: HeaderName = Field(
        default="Surrogate-Key", description="The response field that names tags, beside Cache-Tag and Cache-Groups"
    )


class QueryOptions(Options):
    """Which parameters count; the others are neither in the key nor sent to the target."""

    include: Annotated[list[Parameter], Texts] = Field(default=[], description="These alone; a final * for any ending")
    exclude: Annotated[list[Parameter], Texts] = Field(default=[], description="All but these; a final * for any ending")
    sort: Switch = Field(default=False, description="Their order does not count")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if not any(given.get(key) for key in cls.model_fields):
            yield Wrong("says nothing", f"add one of {', '.join(cls.model_fields)}, or leave it out")


class RouteCacheOptions(Options):
    """Responses are stored as they allow it, and answer later requests (RFC 9111)."""

    ttl: Duration = Field(default=0.0, description="Freshness of responses that do not state their own; 0s for none")
    negative: dict[Annotated[str, AfterValidator(_error_status)], PositiveDuration] = Field(
        default={}, description='The same for errors, by status: { "404" = "10s" }'
    )
    stale_while_revalidate: Duration = Field(
        default=0.0, description="How long a stale response is used while a new one is fetched, if it does not say itself"
    )
    stale_if_error: Duration = Field(
        default=DEFAULT_STALE_IF_ERROR, description="How long one is used when the target fails, if it does not say itself"
    )
    methods: list[Annotated[str, AfterValidator(_method)]] = Field(
        default=["GET", "HEAD", "POST"], description="Whose responses may be stored; HEAD is answered by what GET has stored"
    )
    key: Annotated[list[KeyPart], Texts] = Field(
        default=list(PARTS), description="What distinguishes requests: host, path, query, header:NAME, cookie:NAME"
    )
    query: QueryOptions | None = Field(default=None, description="Which parameters of the query count")
    bypass: Annotated[list[Annotated[str, AfterValidator(_bypass)]], Texts] = Field(
        default=[], description="Requests with one of these go past the cache: header:NAME, cookie:NAME, query:NAME"
    )
    max_object: PositiveSize | None = Field(default=None, description="Instead of that of [cache]")
    coalesce: Literal["off", "local", "global"] = Field(
        default="local", description="Requests for the same share one fetch: not at all, within a worker, in the whole fleet"
    )
    request_directives: Switch = Field(
        default=True, description="Whether Cache-Control and Pragma of requests are heeded"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        key = several(given.get("key", list(PARTS)))
        if not isinstance(key, list | tuple):
            return
        if PATH not in key:
            yield Wrong("path is missing: all pages would be one", 'add "path"', ("key",))
        if given.get("query") is not None and QUERY not in key:
            yield Wrong('has no effect: "query" is not part of the key', "leave it out", ("query",))
        methods = given.get("methods")
        if isinstance(methods, list | tuple) and all(method == "HEAD" for method in methods):
            hint = 'add "GET"' if "HEAD" in methods else "leave the cache out"
            yield Wrong("nothing would be stored", hint, ("methods",))


CacheSwitch = Annotated[
    RouteCacheOptions | bool | None,
    BeforeValidator(switch(RouteCacheOptions), json_schema_input_type=RouteCacheOptions | bool),
]


def host_fault(given: Mapping[str, Any]) -> Iterator[Wrong]:
    """A key without the host is safe only where the route's hosts are known. given: a route."""
    key = read(given.get("cache"), "key")
    if isinstance(key, list | tuple) and HOST not in key and not given.get("host"):
        hint = 'add "host", or write the host of the route'
        yield Wrong("host is missing: what one host answers would be given to all", hint, ("cache", "key"))
