"""May a failed attempt be repeated?"""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import (
    BadResponse,
    ClientGone,
    ConnectionLimitReached,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectTimeout,
    DnsError,
    FirstByteTimeout,
    GatewayError,
    IncompleteResponse,
    Reach,
    ReadTimeout,
    TlsError,
    TotalTimeout,
    WriteTimeout,
)
from gateway.limits.retry import Reason, RetryRules, backoff, may_decline, may_retry, reason_of
from gateway.rfc.message import IDEMPOTENT

ALL = RetryRules(retries=2, reasons=frozenset(Reason))
ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, GatewayError) and kind is not GatewayError
]
METHODS = st.sampled_from([*sorted(IDEMPOTENT), b"POST", b"PATCH", b"PROPFIND"])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefused(), Reason.REFUSED),
        (ConnectionTerminated(), Reason.REFUSED),
        (ConnectionTerminated(reach=Reach.ANSWERED), None),
        (ConnectTimeout(), Reason.CONNECT),
        (DnsError(), Reason.CONNECT),
        (TlsError(), Reason.CONNECT),
        (ConnectionLimitReached(), Reason.CONNECT),
        (FirstByteTimeout(), Reason.TIMEOUT),
        (WriteTimeout(), Reason.TIMEOUT),
        (TotalTimeout(), None),
        (ReadTimeout(), None),
        (BadResponse(), Reason.INVALID),
        (IncompleteResponse(), None),
        (errors.TargetError(reach=Reach.MAYBE_PROCESSED), None),
        (ClientGone(), None),
        (errors.BadRequest(), None),
    ],
)
def test_each_end_of_an_attempt_has_its_reason(error: GatewayError, reason: Reason | None):
    assert reason_of(error) is reason


@given(METHODS, st.sampled_from(ERRORS), st.sampled_from(Reach), st.integers(0, 5))
def test_what_may_have_been_processed_is_repeated_only_for_methods_that_allow_it(
    method: bytes, kind: type[GatewayError], reach: Reach, retries: int
):
    if may_retry(ALL, method, kind(reach=reach), retries):
        assert reach is Reach.UNSENT or (method in IDEMPOTENT and retries < ALL.retries)


@given(METHODS, st.sampled_from(ERRORS), st.integers(0, 5))
def test_without_reasons_nothing_is_repeated(method: bytes, kind: type[GatewayError], retries: int):
    assert not may_retry(RetryRules(reasons=frozenset()), method, kind(), retries)


@given(METHODS, st.integers(0, 100))
def test_what_was_never_sent_goes_on_whatever_the_method_and_the_number(method: bytes, retries: int):
    assert may_retry(ALL, method, ConnectionRefused(), retries)


@given(METHODS, st.integers(100, 599), st.integers(0, 3))
def test_an_answer_is_declined_by_status_method_and_number(method: bytes, status: int, retries: int):
    expected = status in (502, 503, 504) and method in IDEMPOTENT and retries < 2
    assert may_decline(ALL, method, status, retries) is expected


@given(st.floats(0.001, 10), st.integers(0, 8), st.floats(0, 1))
def test_the_pause_doubles_and_is_spread_around_its_mean(base: float, retries: int, chance: float):
    mean = base * 2**retries
    assert mean / 2 <= backoff(base, retries, chance) <= mean * 3 / 2
    assert backoff(base, retries, 0.5) == pytest.approx(mean)
