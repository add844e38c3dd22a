"""What is counted, and under which labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientGone, ConnectionRefused, IncompleteResponse, NoRoute
from gateway.exchange import Exchange
from gateway.observe.counters import BOUNDS, Counters, Histogram

NOW = 100.0


def exchange(**fields: Any) -> Exchange:
    made = Exchange(fields.pop("method", b"GET"), b"/", None, [], started_at=fields.pop("started_at", NOW))
    made.ended_at = NOW
    route = fields.pop("route", "api")
    made.route = SimpleNamespace(name=route) if route else None
    target = fields.pop("target", "t1")
    if target:
        made.target = SimpleNamespace(name=target)
        made.upstream_name = "u"
        made.attempts = 1
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def counted(*exchanges: Exchange) -> dict[str, dict[tuple[str, ...], Any]]:
    counters = Counters()
    for each in exchanges:
        counters.admit(each)
        counters.finish(each)
    return samples(counters)


def samples(counters: Counters) -> dict[str, dict[tuple[str, ...], Any]]:
    metrics = counters.collect()
    for metric in metrics:
        assert all(len(labels) == len(metric.labels) for labels in metric.samples)
    return {metric.name: dict(metric.samples) for metric in metrics}


def test_requests_are_counted_by_route_method_and_code():
    found = counted(exchange(status=200), exchange(status=200), exchange(status=404, method=b"POST", target="t2"))
    assert found["gateway_requests_total"] == {("api", "GET", "200"): 2, ("api", "POST", "404"): 1}
    assert found["gateway_upstream_requests_total"] == {("u", "t1", "200"): 2, ("u", "t2", "404"): 1}


def test_requests_of_one_route_through_two_targets_are_one_count():
    found = counted(exchange(status=200), exchange(status=200, target="t2"))
    assert found["gateway_requests_total"] == {("api", "GET", "200"): 2}


def test_an_unknown_method_and_no_route_have_labels_of_their_own():
    found = counted(
        exchange(status=404, method=b"EVIL1", route="", target=""),
        exchange(status=404, method=b"EVIL2", route="", target=""),
    )
    assert found["gateway_requests_total"] == {("_none", "_OTHER", "404"): 2}


def test_bytes_are_counted_by_route():
    found = counted(exchange(status=200, bytes_in=5, bytes_out=7), exchange(status=500, bytes_in=1, bytes_out=2))
    assert found["gateway_request_bytes_total"] == {("api",): 6}
    assert found["gateway_response_bytes_total"] == {("api",): 9}


def test_what_is_under_way_is_seen_until_it_is_over():
    counters = Counters()
    first, second = exchange(status=200), exchange(status=200)
    counters.admit(first)
    counters.admit(second)
    assert samples(counters)["gateway_requests_in_flight"] == {("api",): 2}
    counters.finish(first)
    counters.finish(second)
    assert samples(counters)["gateway_requests_in_flight"] == {("api",): 0}


def test_an_exchange_that_failed_before_it_was_admitted_leaves_nothing_under_way():
    counters = Counters()
    counters.finish(exchange(status=500, error=ConnectionRefused()))
    assert samples(counters)["gateway_requests_in_flight"] == {}


def test_a_target_that_failed_counts_as_an_error_by_its_reason():
    found = counted(exchange(status=502, error=ConnectionRefused(), attempts=3))
    assert found["gateway_requests_total"] == {("api", "GET", "502"): 1}
    assert found["gateway_upstream_requests_total"] == {}
    assert found["gateway_upstream_errors_total"] == {("u", "t1", "connection_refused"): 1}
    assert found["gateway_upstream_retries_total"] == {("u", "t1"): 2}


def test_an_answer_that_broke_off_counts_as_an_answer_and_as_an_error():
    found = counted(exchange(status=200, error=IncompleteResponse(), first_byte_at=NOW))
    assert found["gateway_upstream_requests_total"] == {("u", "t1", "200"): 1}
    assert found["gateway_upstream_errors_total"] == {("u", "t1", "http_response_incomplete"): 1}


def test_a_client_that_left_is_no_error_of_the_target():
    found = counted(exchange(error=ClientGone()), exchange(status=200, error=ClientGone(), first_byte_at=NOW))
    assert found["gateway_requests_total"] == {("api", "GET", "499"): 1, ("api", "GET", "200"): 1}
    assert found["gateway_upstream_errors_total"] == {}
    assert found["gateway_upstream_requests_total"] == {("u", "t1", "200"): 1}


def test_a_refusal_without_a_target_is_no_upstream_error():
    found = counted(exchange(status=404, error=NoRoute(), route="", target=""))
    assert found["gateway_upstream_errors_total"] == {}


def test_what_was_handed_over_is_not_counted():
    counters = Counters()
    counters.finish(exchange())
    assert samples(counters)["gateway_requests_total"] == {}


@given(st.lists(st.floats(0, 60), min_size=1, max_size=20))
def test_a_duration_is_in_the_first_bucket_that_reaches_it(durations):
    found = counted(*[exchange(status=200, started_at=NOW - seconds) for seconds in durations])
    histogram = found["gateway_request_duration_seconds"]["api", "GET", "2xx"]
    assert isinstance(histogram, Histogram)
    measured = [NOW - (NOW - seconds) for seconds in durations]
    for place, bound in enumerate(BOUNDS):
        assert sum(histogram.counts[: place + 1]) == sum(seconds <= bound for seconds in measured)
    assert sum(histogram.counts) == len(durations)
    assert abs(histogram.total - sum(measured)) < 1e-6


def test_a_full_table_counts_under_other():
    counters = Counters(max_series=2)
    for number in range(5):
        counters.finish(exchange(status=200, route="", target=f"t{number}"))
        counters.finish(exchange(status=502, route="", target=f"t{number}", error=ConnectionRefused()))
    found = samples(counters)
    assert sum(found["gateway_requests_total"].values()) == 10
    assert found["gateway_upstream_requests_total"] == {("u", "t0", "200"): 1, ("_other", "_other", "200"): 4}
    assert found["gateway_upstream_errors_total"]["_other", "_other", "_other"] == 3


def test_collected_numbers_do_not_change_any_more():
    counters = Counters()
    counters.finish(exchange(status=200, route=""))
    before = samples(counters)
    counters.finish(exchange(status=200, route=""))
    assert before["gateway_requests_total"] == {("_none", "GET", "200"): 1}
    assert before["gateway_request_duration_seconds"]["_none", "GET", "2xx"].counts[0] == 1
