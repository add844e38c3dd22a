"""The ready set of an upstream, and the counters of its targets."""

from __future__ import annotations

import pytest

from gateway.balance import RoundRobin
from gateway.errors import ClientGone, ConnectionRefused
from gateway.exchange import Exchange
from gateway.upstream.address import Address
from gateway.upstream.local import LocalApp
from gateway.upstream.local_target import LocalTarget
from gateway.upstream.upstream import Upstream


def local(name: str, priority: int = 0, *, backup: bool = False) -> LocalTarget:
    return LocalTarget(Address(f"asgi://{name}:app"), LocalApp(f"{name}:app"), priority=priority, backup=backup)


def picked(upstream: Upstream, times: int = 4) -> set[str]:
    targets = [upstream.pick(None, ()) for _ in range(times)]
    return {target.name for target in targets if target is not None}


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(b"GET", b"/", None, [])


def test_a_drained_target_is_passed_over_until_it_is_enabled():
    one, two = local("one"), local("two")
    upstream = Upstream("u", [one, two], RoundRobin)
    one.drained = True
    upstream.refresh()
    assert picked(upstream) == {two.name}
    one.drained = False
    upstream.refresh()
    assert picked(upstream) == {one.name, two.name}


def test_when_all_targets_are_out_all_are_tried_and_it_is_flagged():
    targets = [local("one"), local("two")]
    upstream = Upstream("u", targets, RoundRobin)
    for target in targets:
        target.down = True
    upstream.refresh()
    assert upstream.all_out
    assert picked(upstream) == {target.name for target in targets}


def test_nobody_is_picked_when_all_targets_are_drained():
    one = local("one")
    upstream = Upstream("u", [one], RoundRobin)
    one.drained = True
    upstream.refresh()
    assert upstream.pick(None, ()) is None


def test_a_backup_and_a_lower_priority_are_used_only_when_the_others_are_out():
    first, second, backup = local("first"), local("second", 1), local("backup", backup=True)
    upstream = Upstream("u", [backup, second, first], RoundRobin)
    assert picked(upstream) == {first.name}
    first.ejected = True
    upstream.refresh()
    assert picked(upstream) == {second.name}
    second.down = True
    upstream.refresh()
    assert picked(upstream) == {backup.name}


def test_the_balancer_keeps_its_turns_while_the_ready_set_is_the_same():
    upstream = Upstream("u", [local("one"), local("two")], RoundRobin)
    balancer = upstream.balancer
    upstream.refresh()
    assert upstream.balancer is balancer


def test_other_targets_are_picked_after_a_swap():
    old, new = local("old"), local("new")
    upstream = Upstream("u", [old], RoundRobin)
    upstream.set_targets([new])
    assert picked(upstream) == {new.name}


def test_an_attempt_is_counted_while_it_lasts_and_only_a_targets_fault_is_a_failure(exchange: Exchange):
    target = local("one")
    upstream = Upstream("u", [target], RoundRobin)
    for error in (None, ClientGone(), ConnectionRefused()):
        upstream.began(exchange, target)
        assert target.in_flight == 1
        upstream.ended(exchange, target, error)
    assert (target.requests, target.in_flight, target.failures) == (3, 0, 1)
