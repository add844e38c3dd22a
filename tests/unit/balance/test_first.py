"""First."""

from __future__ import annotations

from gateway.balance import First
from support.balancing import named


def test_the_next_is_asked_only_when_those_before_it_were_tried():
    a, b, c = named([1, 1000, 1])
    balancer = First([a, b, c])
    assert [balancer.pick(b"", ()) for _ in range(5)] == [a] * 5
    assert balancer.pick(b"", (a,)) is b
    assert balancer.pick(b"", (b, a)) is c
