"""Which origin a request comes to: weights, keys, cookies, backups, splits, and balancers of others."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.balance.least_time import FAILURE
from support.client import Answer, connected, get
from support.origin import nobody, origin, respond
from support.serving import Served, forwarding, gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.serving import Entrance

KEY = "0123456789abcdef0123456789abcdef"
STICKY = {"cookie": "gw_srv", "keys": [KEY]}


@contextmanager
def origins(*names: str) -> Iterator[list[str]]:
    """The URLs of origins that answer with their names."""
    with ExitStack() as stack:
        yield [stack.enter_context(origin(respond(200, name.encode()))).url for name in names]


def answered_by(front: Served, count: int, *fields: str) -> Counter[str]:
    """Who answers so many requests, over one connection."""
    with connected(front.port) as client:
        return Counter(client.get("/", *fields).body.decode() for _ in range(count))


def cookies(answer: Answer) -> dict[str, str]:
    pairs = [value.decode().partition(";")[0].partition("=") for value in answer.all("set-cookie")]
    return {name: value for name, _, value in pairs}


def change(front: Served, upstream: str, edit: Callable[[list[Any]], None]) -> None:
    """Edit what is known of the targets, as probes and operators do."""

    async def work() -> None:
        found = front.app._gateway.snapshot.upstreams[upstream]
        edit(list(found.targets))
        found.refresh()

    front.run(work())


@on_both
def test_shares_are_the_weights(entrance: Entrance):
    with origins("a", "b") as (a, b):
        options = {
            "upstreams": {"u": {"targets": [{"url": a, "weight": 3}, b]}},
            "routes": [{"path": "/*", "upstream": "u"}],
        }
        with gateway(options, entrance) as front:
            assert answered_by(front, 40) == {"a": 30, "b": 10}


@pytest.mark.parametrize("name", ["random", "p2c"])
def test_balancers_by_chance_use_every_target(name: str):
    with origins("a", "b") as (a, b), gateway(forwarding(a, b, balance=name)) as front:
        assert set(answered_by(front, 60)) == {"a", "b"}


@on_both
def test_a_client_keeps_its_target_by_its_address(entrance: Entrance):
    with origins("a", "b", "c") as urls:
        server = {"trusted_proxies": ["127.0.0.1"]}
        with gateway(forwarding(*urls, balance="hash", server=server), entrance) as front:
            seen = Counter()
            for number in range(30):
                client = f"X-Forwarded-For: 192.0.2.{number}"
                (name,) = answered_by(front, 3, client)
                seen[name] += 1
            assert set(seen) == {"a", "b", "c"}


@on_both
@pytest.mark.parametrize(
    ("hash_on", "request_of"),
    [
        ("header:X-Tenant", lambda key: ("/", f"X-Tenant: {key}")),
        ("cookie:session", lambda key: ("/", f"Cookie: a=b; session={key}")),
        ("query:user", lambda key: (f"/?a=b&user={key}",)),
        ("path", lambda key: (f"/{key}",)),
    ],
)
def test_equal_keys_meet_the_same_target(entrance: Entrance, hash_on: str, request_of: Callable[[str], tuple[str, ...]]):
    with origins("a", "b", "c") as urls, gateway(forwarding(*urls, balance="hash", hash_on=hash_on), entrance) as front:
        with connected(front.port) as client:
            seen = [{client.get(*request_of(f"key-{number}")).body for _ in range(3)} for number in range(30)]
        assert all(len(targets) == 1 for targets in seen)
        assert set.union(*seen) == {b"a", b"b", b"c"}


@on_both
def test_requests_without_a_key_take_turns(entrance: Entrance):
    with origins("a", "b") as urls, gateway(forwarding(*urls, balance="hash", hash_on="header:X-Tenant"), entrance) as front:
        assert answered_by(front, 10) == {"a": 5, "b": 5}


@on_both
def test_a_hashed_request_goes_to_the_next_of_its_ranking_when_its_target_refuses(entrance: Entrance):
    with origins("a", "b") as (a, b), nobody() as refusing:
        options = forwarding(a, b, refusing, balance="hash", hash_on="header:X-Tenant")
        with gateway(options, entrance) as front:
            for number in range(20):
                assert len(answered_by(front, 3, f"X-Tenant: t{number}")) == 1
            assert front.target(2).failures > 0


@on_both
def test_a_client_comes_back_to_its_target_until_it_dies_and_then_to_another(entrance: Entrance):
    with origins("a", "b") as (a, b), ExitStack() as life, gateway_over_mortal(a, b, life, entrance) as (front, mortal):
        first = next(answer for answer in (get(front.port) for _ in range(9)) if answer.body == b"mortal")
        given = cookies(first)["gw_srv"]
        fields = f"Cookie: other=1; gw_srv={given}"
        for _ in range(5):
            back = get(front.port, "/", fields)
            assert (back.body, cookies(back)) == (b"mortal", {})
        life.close()
        moved = get(front.port, "/", fields)
        assert moved.status == 200
        assert moved.body in (b"a", b"b")
        new = cookies(moved)["gw_srv"]
        assert new != given
        assert answered_by(front, 6, f"Cookie: gw_srv={new}") == {moved.body.decode(): 6}
        assert str(mortal) not in moved.head.decode() + first.head.decode()


@contextmanager
def gateway_over_mortal(a: str, b: str, life: ExitStack, entrance: Entrance) -> Iterator[tuple[Served, int]]:
    """A gateway before two origins and a third, which lives until `life` is closed; and the port of that."""
    server = life.enter_context(origin(respond(200, b"mortal")))
    with gateway(forwarding(a, b, server.url, sticky=STICKY), entrance) as front:
        yield front, server.port


@on_both
def test_a_target_that_is_drained_gives_its_clients_away_and_gets_them_back_by_their_old_cookies(entrance: Entrance):
    with origins("a", "b") as urls, gateway(forwarding(*urls, sticky=STICKY), entrance) as front:
        given = cookies(get(front.port))["gw_srv"]
        assert answered_by(front, 4, f"Cookie: gw_srv={given}") == {"a": 4}
        change(front, "origin", lambda targets: setattr(targets[0], "drained", True))
        assert answered_by(front, 4, f"Cookie: gw_srv={given}") == {"b": 4}
        change(front, "origin", lambda targets: setattr(targets[0], "drained", False))
        assert answered_by(front, 4, f"Cookie: gw_srv={given}") == {"a": 4}


@on_both
def test_the_cookie_says_what_was_asked_for_and_is_for_one_client(entrance: Entrance):
    sticky = {**STICKY, "path": "/shop", "max_age": "1h", "secure": True, "same_site": "strict"}
    with origins("a") as urls, gateway(forwarding(*urls, sticky=sticky), entrance) as front:
        answer = get(front.port)
        (cookie,) = answer.all("set-cookie")
        assert cookie.partition(b"; ")[2] == b"Path=/shop; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"
        assert answer.get("cache-control") == b"private"


def test_the_cookie_of_one_worker_or_gateway_is_good_for_the_others():
    with origins("a", "b", "c") as urls:
        options = forwarding(*urls, sticky=STICKY)
        with gateway(options) as one, gateway(options) as other:
            for _ in range(3):
                answer = get(one.port)
                back = f"Cookie: gw_srv={cookies(answer)['gw_srv']}"
                assert answered_by(other, 3, back) == {answer.body.decode(): 3}


@on_both
def test_what_the_gateway_answers_itself_brings_no_cookie(entrance: Entrance):
    with nobody() as url, gateway(forwarding(url, sticky=STICKY), entrance) as front:
        answer = get(front.port)
        assert (answer.status, cookies(answer)) == (502, {})


@on_both
def test_a_backup_is_used_only_while_all_others_are_out(entrance: Entrance):
    with origins("a", "b", "spare") as (a, b, spare):
        options = {
            "upstreams": {"u": {"targets": [a, b, {"url": spare, "backup": True}]}},
            "routes": [{"path": "/*", "upstream": "u"}],
        }
        with gateway(options, entrance) as front:
            assert answered_by(front, 6) == {"a": 3, "b": 3}
            change(front, "u", lambda targets: setattr(targets[0], "down", True))
            assert answered_by(front, 6) == {"b": 6}
            change(front, "u", lambda targets: setattr(targets[1], "down", True))
            assert answered_by(front, 6) == {"spare": 6}
            change(front, "u", lambda targets: setattr(targets[0], "down", False))
            assert answered_by(front, 6) == {"a": 6}


@on_both
def test_first_asks_the_others_only_when_it_must(entrance: Entrance):
    with origins("b") as (b,), nobody() as a, gateway(forwarding(b, a, balance="first"), entrance) as front:
        assert answered_by(front, 5) == {"b": 5}
        assert front.target(1).requests == 0
    with origins("b") as (b,), nobody() as a, gateway(forwarding(a, b, balance="first"), entrance) as front:
        assert answered_by(front, 1) == {"b": 1}
        assert front.target(0).failures == 1


@on_both
def test_a_balancer_of_another_package_is_asked_with_its_options(entrance: Entrance):
    with origins("a", "b") as (a, b):
        port = a.rpartition(":")[2]
        options = forwarding(a, b, balance="balancers_of_others:Favourite", balance_options={"port": port}, hash_on="path")
        with gateway(options, entrance) as front:
            assert answered_by(front, 4) == {"a": 4}
            assert get(front.port, "/other").body == b"b"


@pytest.fixture(autouse=True)
def _their_package(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "balancers_of_others.py").write_text(THEIRS, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


THEIRS = '''
class Favourite:
    """The target with a certain port, unless somebody asks for another."""

    def __init__(self, targets, options):
        self._targets = targets
        self._end = f":{options.settings['port']}"

    def pick(self, key, tried):
        for target in self._targets:
            if target not in tried and target.name.endswith(self._end) == (key != b"/other"):
                return target
        return None
'''


def splitting(stable: str, canary: str, **route: Any) -> dict[str, Any]:
    shares = [{"upstream": "stable", "weight": 3}, {"upstream": "canary", "weight": 1}]
    return {
        "server": {"trusted_proxies": ["127.0.0.1"]},
        "upstreams": {"stable": {"targets": [stable]}, "canary": {"targets": [canary]}},
        "routes": [{"name": "r", "path": "/*", "split": shares, **route}],
    }


@on_both
def test_a_split_by_itself_takes_turns_by_weight(entrance: Entrance):
    with origins("stable", "canary") as urls, gateway(splitting(*urls), entrance) as front:
        assert answered_by(front, 40) == {"stable": 30, "canary": 10}


@on_both
def test_a_client_keeps_its_share_of_a_split_by_a_cookie(entrance: Entrance):
    with origins("stable", "canary") as urls:
        with gateway(splitting(*urls, sticky={**STICKY, "cookie": "gw_version"}), entrance) as front:
            first = [get(front.port) for _ in range(8)]
            assert Counter(answer.body for answer in first) == {b"stable": 6, b"canary": 2}
            for answer in first:
                back = f"Cookie: gw_version={cookies(answer)['gw_version']}"
                assert answered_by(front, 4, back) == {answer.body.decode(): 4}
                assert cookies(get(front.port, "/", back)) == {}


@on_both
def test_a_client_keeps_its_share_of_a_split_by_a_hash(entrance: Entrance):
    with origins("stable", "canary") as urls, gateway(splitting(*urls, hash_on="client_ip"), entrance) as front:
        seen: Counter[str] = Counter()
        for number in range(80):
            (name,) = answered_by(front, 2, f"X-Forwarded-For: 192.0.2.{number}")
            seen[name] += 1
        assert 10 <= seen["canary"] <= 30  # a quarter of 80, as chance wills it


@on_both
def test_share_and_target_have_each_a_cookie(entrance: Entrance):
    with origins("a", "b", "canary") as (a, b, canary):
        options = splitting(a, canary, sticky={**STICKY, "cookie": "gw_version"})
        options["upstreams"]["stable"] |= {"targets": [a, b], "sticky": STICKY}
        with gateway(options, entrance) as front:
            first = get(front.port)
            given = cookies(first)
            assert set(given) == {"gw_version", "gw_srv"}
            back = "Cookie: " + "; ".join(f"{name}={value}" for name, value in given.items())
            assert answered_by(front, 6, back) == {first.body.decode(): 6}


@on_both
def test_least_time_learns_how_long_targets_take_and_that_they_fail(entrance: Entrance):
    with origins("a") as (a,), nobody() as b, gateway(forwarding(a, b, balance="least_time"), entrance) as front:
        assert answered_by(front, 20) == {"a": 20}
        good, bad = front.target(0).latency, front.target(1).latency
        assert good.is_known
        assert good._cost < FAILURE
        assert bad.is_known
        assert bad._cost >= FAILURE
        assert front.target(1).failures == 1  # what failed once is not tried again so soon
