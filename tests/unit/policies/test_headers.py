"""Edits of header fields, and what may not be edited."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.exchange import Exchange, Headers, ResponseHead
from gateway.policies.headers import RequestHeaders, ResponseHeaders, StrictTransportSecurity


def an_exchange(scheme: bytes = b"https") -> Exchange:
    exchange = Exchange(b"GET", b"/", None, [], scheme=scheme, peer="192.0.2.1")
    exchange.host = b"example.com"
    exchange.request_id = b"7f3a"
    return exchange


def prepared(policy: RequestHeaders, headers: Headers) -> Headers:
    policy.prepare(an_exchange(), headers)
    return headers


def test_set_takes_the_place_of_every_field_of_that_name():
    headers = [(b"x-env", b"a"), (b"accept", b"*/*"), (b"x-env", b"b")]
    assert prepared(RequestHeaders(set={"X-Env": "prod"}), headers) == [(b"accept", b"*/*"), (b"x-env", b"prod")]


def test_add_leaves_the_fields_that_are_there():
    headers = [(b"x-env", b"a")]
    assert prepared(RequestHeaders(add={"X-Env": "b"}), headers) == [(b"x-env", b"a"), (b"x-env", b"b")]


def test_remove_takes_every_field_of_that_name_and_keeps_the_order_of_the_rest():
    headers = [(b"x-debug", b"1"), (b"b", b"2"), (b"X-debug".lower(), b"3"), (b"a", b"4")]
    assert prepared(RequestHeaders(remove=["X-Debug"]), headers) == [(b"b", b"2"), (b"a", b"4")]


def test_the_list_is_edited_in_place():
    head = ResponseHead(200, headers := [(b"server", b"x")])
    ResponseHeaders(remove=["Server"], set={"X-Frame-Options": "DENY"}).amend(an_exchange(), head)
    assert head.headers is headers
    assert headers == [(b"x-frame-options", b"DENY")]


def test_one_exchange_does_not_see_the_fields_of_another():
    policy = ResponseHeaders(add={"X-A": "1"})
    first, second = ResponseHead(200, []), ResponseHead(200, [])
    policy.amend(an_exchange(), first)
    policy.amend(an_exchange(), second)
    assert first.headers == second.headers == [(b"x-a", b"1")]


def test_placeholders_are_filled_in_for_each_exchange():
    exchange = an_exchange()
    exchange.route = SimpleNamespace(name="api")  # only the name is read
    headers: Headers = []
    RequestHeaders(set={"X-About": "{scheme}://{host} for {client_ip} id={request_id} ({route})"}).prepare(
        exchange, headers
    )
    assert headers == [(b"x-about", b"https://example.com for 192.0.2.1 id=7f3a (api)")]


def test_without_a_route_its_name_is_empty():
    assert prepared(RequestHeaders(set={"X-Route": "<{route}>"}), []) == [(b"x-route", b"<>")]


def test_json_in_a_value_is_plain_text():
    value = '{"group":"default","endpoints":[{"url":"https://e"}], "n":{}}'
    assert prepared(RequestHeaders(set={"Report-To": value}), []) == [(b"report-to", value.encode())]


def test_an_unknown_placeholder_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"\{client\} is not a placeholder.*\{client_ip\}"):
        RequestHeaders(set={"X-A": "{client}"})


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "TE", "Trailer", "Upgrade", "Proxy-Connection"],
)
@pytest.mark.parametrize("policy", [RequestHeaders, ResponseHeaders])
def test_framing_and_connection_fields_cannot_be_edited(policy, name):
    for edit in ({"set": {name: "1"}}, {"add": {name: "1"}}, {"remove": [name]}):
        with pytest.raises(ValueError, match=name):
            policy(**edit)


def test_the_requests_host_is_chosen_elsewhere():
    for edit in ({"set": {"Host": "a"}}, {"add": {"host": "a"}}, {"remove": ["HOST"]}):
        with pytest.raises(ValueError, match="host_header"):
            RequestHeaders(**edit)


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY", "Ä"])
def test_what_is_no_field_name_is_refused(name):
    with pytest.raises(ValueError, match="not a header field name"):
        ResponseHeaders(set={name: "1"})


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\x00", "\x7f"])
def test_a_value_cannot_break_out_of_its_line(value):
    with pytest.raises(ValueError, match="control character"):
        ResponseHeaders(set={"X-A": value})


def test_a_name_that_is_set_and_removed_is_a_contradiction():
    with pytest.raises(ValueError, match="both set and removed"):
        ResponseHeaders(set={"X-A": "1"}, remove=["x-a"])


def test_strict_transport_security_is_sent_over_https_only():
    policy = StrictTransportSecurity(31536000, include_subdomains=True, preload=True)
    plain, secure = ResponseHead(200, []), ResponseHead(200, [])
    policy.amend(an_exchange(b"http"), plain)
    policy.amend(an_exchange(b"https"), secure)
    assert plain.headers == []
    assert secure.headers == [(b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload")]


def test_the_applications_own_strict_transport_security_stays():
    head = ResponseHead(200, [(b"strict-transport-security", b"max-age=60")])
    StrictTransportSecurity(31536000).amend(an_exchange(), head)
    assert head.headers == [(b"strict-transport-security", b"max-age=60")]


def test_a_negative_max_age_is_refused():
    with pytest.raises(ValueError, match="seconds"):
        StrictTransportSecurity(-1)
