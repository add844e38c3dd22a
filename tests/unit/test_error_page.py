"""What clients are told when something went wrong, and what they are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.error_page import error_reply, prefers_html
from gateway.errors import ConnectionRefused, GatewayError, MethodNotAllowed, NoRoute, NoTarget

if TYPE_CHECKING:
    from gateway.exchange import Reply

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]


def header(reply: Reply, name: bytes) -> bytes | None:
    values = [value for key, value in reply.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_problem_document(kind):
    reply = error_reply(kind("10.0.0.7:9000 said no"), None, b"id1")
    assert header(reply, b"content-type") == b"application/problem+json"
    document = json.loads(reply.body)
    assert document.pop("title")
    assert document == {"type": "about:blank", "status": kind.status, "detail": kind.detail, "request_id": "id1"}
    assert reply.status == kind.status
    assert header(reply, b"cache-control") == b"no-store"
    assert header(reply, b"proxy-status") == b"gateway; error=" + kind.proxy_error.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_page(kind):
    reply = error_reply(kind(), BROWSER, b"id1")
    assert header(reply, b"content-type") == b"text/html; charset=utf-8"
    page = reply.body.decode()
    assert page.startswith("<!doctype html>")
    assert str(kind.status) in page
    assert kind.detail in page
    assert "id1" in page
    assert "[" not in page


@pytest.mark.parametrize("accept", [None, BROWSER])
def test_the_message_for_the_log_is_not_told(accept):
    reply = error_reply(ConnectionRefused("10.0.0.7:9000"), accept, b"id1")
    assert b"10.0.0.7" not in reply.body + b"".join(value for _, value in reply.headers)
    assert reply.error is not None


def test_titles_are_those_of_rfc_9110():
    assert json.loads(error_reply(errors.BodyTooLarge(), None, b"").body)["title"] == "Content Too Large"
    assert json.loads(error_reply(errors.TargetTooLong(), None, b"").body)["title"] == "URI Too Long"


@given(st.binary(max_size=20))
def test_a_request_id_can_not_break_out_of_the_body(request_id):
    document = json.loads(error_reply(NoRoute(), None, request_id).body)
    assert document["request_id"].encode("latin-1") == request_id
    page = error_reply(NoRoute(), BROWSER, request_id).body.decode()
    plain = error_reply(NoRoute(), BROWSER, b"").body.decode()
    assert page.count("<") == plain.count("<")


def test_only_a_503_says_when_to_come_back():
    assert header(error_reply(NoTarget(), None, b""), b"retry-after") == b"5"
    assert header(error_reply(ConnectionRefused(), None, b""), b"retry-after") is None


@pytest.mark.parametrize("allow", [b"GET, HEAD", "GET, HEAD"])
def test_a_405_names_the_methods(allow):
    assert header(error_reply(MethodNotAllowed(), None, b"", allow=allow), b"allow") == b"GET, HEAD"


@pytest.mark.parametrize("allow", [None, b"", "This method is not allowed here.", b"GET\r\nx: y"])
def test_a_405_has_an_allow_field_even_where_no_methods_are_known(allow):
    assert header(error_reply(MethodNotAllowed(), None, b"", allow=allow), b"allow") == b""


def test_other_errors_have_no_allow_field():
    assert header(error_reply(NoRoute(), None, b"", allow=b"GET"), b"allow") is None


@pytest.mark.parametrize(
    "accept",
    [BROWSER, b"text/html", b"TEXT/HTML", b"text/*", b"text/html, */*", b"application/json;q=0.5, text/html;q=0.6",
     b"*/*;q=0.1, text/html; level=1", b"text/html;charset=utf-8;q=0.9, application/json;q=0.8"],
)  # fmt: skip
def test_who_would_rather_have_html_gets_a_page(accept):
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [b"*/*", b"", b"application/json", b"application/problem+json, text/html", b"application/json, text/html",
     b"text/html;q=0.5, application/*", b"text/html;q=0", b"text/html;q=0, */*;q=0", b"image/png", b"text/html;q=x",
     b"text/html;q=2", b"text/html;q=0.9, */*", b"text/plain", b";q=1,,;"],
)  # fmt: skip
def test_everybody_else_gets_json(accept):
    assert not prefers_html(accept)


@given(st.binary(max_size=400))
def test_any_accept_is_answered(accept):
    assert error_reply(NoRoute(), accept, b"id").body


def test_a_reply_is_not_shared_with_the_next_one():
    first = error_reply(NoRoute(), None, b"1")
    first.headers.append((b"x", b"y"))
    assert header(error_reply(NoRoute(), None, b"2"), b"x") is None
