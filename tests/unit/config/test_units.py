"""Durations, sizes and percentages."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.faults import Wrong
from gateway.config.units import BYTES, SECONDS, as_duration, as_size, duration, percent, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("365d", 31_536_000.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "5", "5 parsecs", "-5s", "5S", "1e3s", "s5", "5s!", "5s\n", "\u0665s", " 5s"]
)
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(Wrong, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("512B", 512),
        ("64KiB", 65536),
        ("10MB", 10_000_000),
        ("1.5KiB", 1536),
        ("1 gib", 2**30),
        ("1tb", 10**12),
    ],
)
def test_a_size_is_read_as_bytes(text: str, count: int):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "B", "5", "5k", "5Kb/s", "-5B", "5iB", "5XB", "\u0665B"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(Wrong, match="is not a size"):
        size(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10m", 'write "10MiB" (1024s) or "10MB" (1000s)'),
        ("8k", 'write "8KiB" (1024s) or "8KB" (1000s)'),
        ("1024", 'write "1024B" for bytes'),
        ("big", 'write a number and B, KiB, MiB, GiB or KB, MB, GB: "64KiB"'),
    ],
)
def test_a_size_of_another_proxy_is_refused_with_ours(text: str, hint: str):
    with pytest.raises(Wrong) as caught:
        size(text)
    assert caught.value.hint == hint


def test_a_duration_without_a_unit_is_refused_with_the_seconds_that_were_meant():
    with pytest.raises(Wrong) as caught:
        duration("30")
    assert caught.value.hint == 'write "30s" for seconds'


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("100%", 1.0), ("12.5 %", 0.125)])
def test_a_percentage_is_read_as_a_share(text: str, share: float):
    assert percent(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["20", "101%", "-1%", "%"])
def test_what_is_no_percentage_is_refused(text: str):
    with pytest.raises(Wrong):
        percent(text)


@given(st.integers(0, 10**9), st.sampled_from(sorted(SECONDS)))
def test_a_duration_of_one_unit_is_number_times_unit(number: int, unit: str):
    assert duration(f"{number}{unit}") == number * SECONDS[unit]


@given(st.integers(0, 10**12), st.sampled_from(sorted(BYTES)), st.booleans())
def test_a_size_is_number_times_unit_in_any_case(number: int, unit: str, upper: bool):
    assert size(f"{number}{unit.upper() if upper else unit}") == number * BYTES[unit]


@given(st.integers(0, 10**10).map(lambda milliseconds: milliseconds / 1000))
def test_a_written_duration_is_read_as_the_same(seconds: float):
    assert duration(as_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@given(st.integers(0, 10**18 - 1))
def test_a_written_size_is_read_as_the_same(count: int):
    assert size(as_size(count)) == count


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str):
    for read in (duration, size, percent):
        with contextlib.suppress(Wrong):
            assert read(text) >= 0
