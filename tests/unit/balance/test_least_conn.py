"""Least connections."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import LeastConn
from support.balancing import Stub


class Loaded(Stub):
    @property
    def load(self) -> Fraction:
        return Fraction(self.in_flight, self.weight)  # type: ignore[arg-type]


TARGETS = st.lists(st.builds(Loaded, st.integers(1, 1000), st.integers(0, 50)), min_size=1, max_size=8)


@given(TARGETS, st.data())
def test_the_picked_one_has_the_least_load_for_its_weight(targets: list[Loaded], data: st.DataObject):
    balancer = LeastConn(targets)
    for _ in range(10):
        tried = tuple(data.draw(st.lists(st.sampled_from(targets), unique=True)))
        left = [target for target in targets if target not in tried]
        picked = balancer.pick(b"", tried)
        if picked is None:
            assert not left
        else:
            assert picked in left
            assert picked.load == min(target.load for target in left)
            picked.in_flight += 1


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_targets_of_equal_load_take_turns_by_weight(weights: list[int]):
    targets = [Loaded(weight) for weight in weights]
    balancer = LeastConn(targets)
    counted = Counter(balancer.pick(b"", ()) for _ in range(3 * sum(weights)))
    assert [counted[target] for target in targets] == [3 * weight for weight in weights]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(1, 200))
def test_requests_that_stay_end_up_spread_by_weight(weights: list[int], requests: int):
    targets = [Loaded(weight) for weight in weights]
    balancer = LeastConn(targets)
    for _ in range(requests):
        picked = balancer.pick(b"", ())
        assert picked is not None
        picked.in_flight += 1
    for target in targets:
        assert abs(target.in_flight - requests * target.weight / sum(weights)) <= max(weights) + 1


def test_a_quiet_hour_does_not_belong_to_the_first_target():
    a, b = Loaded(), Loaded()
    balancer = LeastConn([a, b])
    assert [balancer.pick(b"", ()) for _ in range(4)] == [a, b, a, b]


@given(TARGETS, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=60))
def test_credits_stay_bounded(targets: list[Loaded], changes: list[tuple[int, int]]):
    balancer = LeastConn(targets)
    for index, in_flight in changes:
        targets[index % len(targets)].in_flight = in_flight
        balancer.pick(b"", ())
    assert sum(balancer._credits) == 0
    assert max(map(abs, balancer._credits)) <= len(targets) * sum(target.weight for target in targets)
