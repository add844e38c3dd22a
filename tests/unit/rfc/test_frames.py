import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.frames import Frames, close_frame, frame_length
from support.websocket import CLOSE, PING, TEXT, frame

PAYLOADS = st.one_of(st.binary(max_size=300), st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 65535, b"x" * 65536]))
MESSAGES = st.lists(st.builds(lambda payload, masked: frame(payload, masked=masked), PAYLOADS, st.booleans()), min_size=1, max_size=5)


@given(MESSAGES, st.data())
def test_frames_end_where_they_end_however_the_bytes_come(messages: list[bytes], data: st.DataObject):
    stream = b"".join(messages)
    ends = {sum(map(len, messages[:count])) for count in range(len(messages) + 1)}
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    frames = Frames()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames.feed(stream[start:end])
        assert frames.is_between == (end in ends)
    assert not frames.closing


@given(MESSAGES, st.data())
def test_the_rest_of_a_frame_is_all_up_to_its_end(messages: list[bytes], data: st.DataObject):
    stream = b"".join(messages)
    cut = data.draw(st.integers(0, len(stream)))
    frames = Frames()
    frames.feed(stream[:cut])
    ends = [sum(map(len, messages[:count])) for count in range(len(messages) + 1)]
    assert frames.rest_of_frame(stream[cut:]) == min(end for end in ends if end >= cut) - cut


def test_a_head_that_stays_incomplete_takes_all_there_is():
    frames = Frames()
    frames.feed(b"\x82")
    assert frames.rest_of_frame(b"") == 0
    frames.feed(b"\x7f")
    assert frames.rest_of_frame(b"\x00\x00") == 2
    assert not frames.is_between


def test_a_close_frame_is_seen_and_other_control_frames_are_not_taken_for_one():
    frames = Frames()
    frames.feed(frame(b"x", PING) + frame(b"y", TEXT))
    assert not frames.closing
    frames.feed(frame(b"\x03\xe8", CLOSE)[:1])
    assert not frames.closing
    frames.feed(frame(b"\x03\xe8", CLOSE)[1:])
    assert frames.closing


@pytest.mark.parametrize("mask", [b"", b"\x00\x00\x00\x00", b"\x12\x34\x56\x78"])
def test_a_close_frame_of_ours_says_its_code(mask: bytes):
    made = close_frame(1012, mask)
    assert frame_length(made, 0) == len(made)
    payload = made[-2:] if not mask else bytes([made[-2] ^ mask[0], made[-1] ^ mask[1]])
    assert made[0] == 0x88
    assert payload == (1012).to_bytes(2, "big")
