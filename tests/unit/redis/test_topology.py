"""What a Cluster says of its slots, and what it might say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redis.address import Endpoint
from gateway.redis.link import Away
from gateway.redis.resp import ErrorReply
from gateway.redis.topology import SLOTS, read_slots

REPLIES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.integers(-5, 20_000) | st.binary(max_size=9), lambda inner: st.lists(inner, max_size=4), max_leaves=15
)


def test_each_slot_has_the_first_of_its_nodes():
    masters = read_slots(
        [[0, 99, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.2", 7001, b"replica"]], [100, SLOTS - 1, [b"10.0.0.3", 7002, b"id", []]]], "asked"
    )
    assert masters[0] == masters[99] == Endpoint("10.0.0.1", 7000)
    assert masters[100] == masters[-1] == Endpoint("10.0.0.3", 7002)
    assert len(masters) == SLOTS


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_who_leaves_itself_out_is_whom_we_asked(host: bytes | None):
    assert read_slots([[5, 5, [host, 7000, b"id"]]], "asked")[4:7] == [None, Endpoint("asked", 7000), None]


@pytest.mark.parametrize(
    "reply", [None, [], b"OK", ErrorReply(b"ERR This instance has cluster support disabled"), [[0]], [[0, SLOTS, [b"h", 1]]], [[9, 3, [b"h", 1]]], [[0, 1, []]]]
)
def test_what_is_no_map_is_no_cluster(reply: object):
    with pytest.raises(Away):
        read_slots(reply, "asked")  # type: ignore[arg-type]


@given(st.lists(REPLIES, max_size=4))
def test_any_reply_is_a_map_or_none(reply: list[object]):
    try:
        masters = read_slots(reply, "asked")  # type: ignore[arg-type]
    except Away:
        return
    assert len(masters) == SLOTS
