"""Cookies in requests."""

from __future__ import annotations

import pytest

from gateway.rfc.cookies import cookie


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"a=1"], b"1"),
        ([b"b=2; a=1"], b"1"),
        ([b"b=2;a=1;c=3"], b"1"),
        ([b"a=1; a=2"], b"1"),
        ([b"b=2", b"a=1"], b"1"),  # HTTP/2 may send a line for each (RFC 9113 section 8.2.3)
        ([b"a=x=y=="], b"x=y=="),
        ([b"a="], b""),
        ([b"a"], None),
        ([b"aa=1; ba=2; A=3"], None),
        ([b"b=a=1"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_a_cookie_is_found_by_its_whole_name(values: list[bytes], found: bytes | None):
    assert cookie([(b"host", b"a=9"), *((b"cookie", value) for value in values)], b"a") == found
