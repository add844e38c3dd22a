"""What is allowed and hardly meant: routes that no request can reach, upstreams that no route uses. No false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.balance import SECRET

if TYPE_CHECKING:
    from gateway.config.balance import StickyOptions
    from gateway.config.faults import Fault
    from gateway.config.model import Config
    from gateway.config.routes import RouteOptions

_WILD = "*."


def lint(config: Config) -> list[Fault]:
    """Warnings, in the order of the file."""
    if not config.routes:
        return [config.source.fault((), "there are no routes: every request gets 404")]
    return sorted(
        [
            *_unused_upstreams(config), *_shadowed_routes(config), *_idle_prefixes(config), *_open_cookies(config),
            *_unused_stores(config), *_shared_splits(config), *_endless_objects(config),
        ],
        key=lambda fault: (fault.line, fault.column),
    )


def _unused_upstreams(config: Config) -> list[Fault]:
    used = {name for route in config.routes for name in route.upstreams}
    return [
        config.source.fault(("upstreams", name), "no route uses this upstream")
        for name in config.upstreams
        if name not in used
    ]


def _unused_stores(config: Config) -> list[Fault]:
    """A Redis that nothing is stored in, and a shared store that no route stores anything in."""
    shared = config.cache.store != "memory"
    faults = []
    if config.redis is not None and config.redis.address is not None and not shared:
        faults.append(config.source.fault(("redis",), "nothing uses this Redis", 'write store = "tiered" in [cache]'))
    if shared and not any(config.cache_for(route) for route in config.routes):
        faults.append(config.source.fault(("cache", "store"), "no route has a cache", "add cache = true to a route"))
    return faults


def _shared_splits(config: Config) -> list[Fault]:
    """A cache gives what the first share has answered to everybody."""
    return [
        config.source.fault(
            ("routes", index, "split"), "the cache gives the answers of one share to the clients of all",
            "leave the cache of this route out, or give each share a route of its own",
        )
        for index, route in enumerate(config.routes)
        if len(route.split) > 1 and config.cache_for(route) is not None
    ]  # fmt: skip


def _endless_objects(config: Config) -> list[Fault]:
    """Responses that are gathered, and then find no room."""
    if config.cache.store != "memory":
        return []
    places: list[tuple[tuple[str | int, ...], int]] = [(("cache", "max_object"), config.cache.max_object)]
    for index, route in enumerate(config.routes):
        options = config.cache_for(route)
        if options is not None and options.max_object is not None:
            places.append((("routes", index, "cache", "max_object"), options.max_object))
    used = any(config.cache_for(route) is not None for route in config.routes)
    return [
        config.source.fault(place, "is more than the memory of the cache", "make it smaller, or cache.memory larger")
        for place, size in places
        if used and size > config.cache.memory
    ]


def _shadowed_routes(config: Config) -> list[Fault]:
    faults = []
    for index, route in enumerate(config.routes):
        for earlier in config.routes[:index]:
            if takes_all_of(earlier, route):
                message = f'can never match: the earlier route "{earlier.name}" takes all of its requests'
                faults.append(config.source.fault(("routes", index), message, "put it before that one"))
                break
    return faults


def _idle_prefixes(config: Config) -> list[Fault]:
    """A prefix that no path of the route begins with is never stripped."""
    faults = []
    for index, route in enumerate(config.routes):
        prefix = route.strip_prefix
        if prefix is None or route.path_regex is not None:
            continue
        literal = route.path.partition("{")[0].removesuffix("*")
        if not f"{prefix}/".startswith(literal) and not f"{literal}/".startswith(f"{prefix}/"):
            message = f'no path of "{route.path}" begins with "{prefix}"'
            faults.append(config.source.fault(("routes", index, "strip_prefix"), message))
    return faults


def _open_cookies(config: Config) -> list[Fault]:
    """Without a secret anybody can make the cookie of an address, and see whether it is one of ours."""
    places: list[tuple[tuple[str | int, ...], StickyOptions | None]] = [
        *((("upstreams", name, "sticky"), upstream.sticky) for name, upstream in config.upstreams.items()),
        *((("routes", index, "sticky"), route.sticky) for index, route in enumerate(config.routes)),
    ]
    message = "has no keys: the names behind its values can be guessed"
    return [
        config.source.fault(place, message, f"add keys with {SECRET} random characters")
        for place, sticky in places
        if sticky is not None and not sticky.keys
    ]


def takes_all_of(first: RouteOptions, second: RouteOptions) -> bool:
    """True where every request that `second` matches is matched by `first` too; false where that is not sure."""
    return (
        _hosts_cover(first.host, second.host)
        and (not first.methods or (bool(second.methods) and set(second.methods) <= _with_head(first.methods)))
        and _conditions_cover({name.lower(): value for name, value in first.headers.items()},
                              {name.lower(): value for name, value in second.headers.items()})
        and _conditions_cover(first.query, second.query)
        and _paths_cover(first, second)
    )  # fmt: skip


def _with_head(methods: list[str]) -> set[str]:
    return {*methods, "HEAD"} if "GET" in methods else set(methods)


def _hosts_cover(first: list[str], second: list[str]) -> bool:
    return not first or (bool(second) and all(any(_host_covers(one, other) for one in first) for other in second))


def _host_covers(one: str, other: str) -> bool:
    return one == other or (one.startswith(_WILD) and other.removeprefix(_WILD).endswith(one[1:]))


def _conditions_cover(first: dict[str, str], second: dict[str, str]) -> bool:
    return all(name in second and value in ("*", second[name]) for name, value in first.items())


def _paths_cover(first: RouteOptions, second: RouteOptions) -> bool:
    if first.path_regex is not None:
        return first.path_regex == second.path_regex
    if first.path == "/*":
        return True
    if second.path_regex is not None:
        return False
    wider, wide = _segments(first.path)
    narrower, narrow = _segments(second.path)
    if len(wider) > len(narrower) or (not wide and (narrow or len(wider) != len(narrower))):
        return False
    return all(_segment_covers(one, other) for one, other in zip(wider, narrower, strict=False))


def _segments(path: str) -> tuple[list[str], bool]:
    """The segments, and whether anything may follow."""
    plain = path.removesuffix("/*")
    return plain.split("/")[1:], plain != path


def _segment_covers(one: str, other: str) -> bool:
    """What is mixed of text and captures covers nothing but itself."""
    if one == other:
        return True
    is_capture = one.startswith("{") and one.endswith("}") and one.count("{") == 1
    return is_capture and other != "" and "/" not in other
