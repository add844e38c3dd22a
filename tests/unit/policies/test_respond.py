"""Fixed answers and redirects; a redirect never leads where the client, and not the configuration, says."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.policies.respond import FixedAnswer, Redirect


def asking(query: bytes | None = None, **captures: bytes) -> Exchange:
    exchange = Exchange(b"GET", b"/", query, [], scheme=b"https")
    exchange.host = b"example.com"
    exchange.captures = captures or None
    return exchange


def location(to: str, exchange: Exchange, status: int = 308) -> bytes:
    reply = Redirect(to, status).admit(exchange)
    assert reply is not None
    assert reply.status == status
    [(name, value)] = reply.headers
    assert name == b"location"
    return value


def test_a_fixed_answer_is_plain_text_unless_it_says_otherwise():
    reply = FixedAnswer(503, "Back soon", {"Retry-After": "120"}).admit(asking())
    assert (reply.status, reply.body) == (503, b"Back soon")
    assert reply.headers == [(b"retry-after", b"120"), (b"content-type", b"text/plain; charset=utf-8")]
    assert FixedAnswer(200, "<p>", {"Content-Type": "text/html"}).admit(asking()).headers == [
        (b"content-type", b"text/html")
    ]


def test_an_empty_answer_has_no_type():
    assert FixedAnswer(204).admit(asking()).headers == []


def test_what_is_done_to_one_answer_does_not_show_in_the_next():
    answer = FixedAnswer(200, "a")
    answer.admit(asking()).head().headers.clear()
    assert answer.admit(asking()).head().headers == [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"1")]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((199,), "status"),
        ((600,), "status"),
        ((204, "a"), "no body"),
        ((304, "a"), "no body"),
        ((200, "a", {"Content-Length": "9"}), "Content-Length"),
        ((200, "a", {"X": "a\r\nb"}), "control"),
    ],
)
def test_a_fixed_answer_that_cannot_be_sent_is_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        FixedAnswer(*arguments)


def test_what_the_route_matched_goes_into_the_location():
    assert (
        location("https://blog.example.com/{path}", asking(path=b"2024/a%2Fb"))
        == b"https://blog.example.com/2024/a%2Fb"
    )
    assert location("/people/{id}/profile", asking(id=b"7")) == b"/people/7/profile"
    assert location("{scheme}://{host}/x", asking()) == b"https://example.com/x"


def test_the_query_goes_along_unless_the_target_has_its_own():
    assert location("/new", asking(b"a=1&b=%20")) == b"/new?a=1&b=%20"
    assert location("/new", asking(b"")) == b"/new?"
    assert location("/new", asking(None)) == b"/new"
    assert location("/new?from=old", asking(b"a=1")) == b"/new?from=old"
    assert location("/new#part", asking(b"a=1")) == b"/new?a=1#part"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_status_is_the_configured_one(status):
    location("/a", asking(), status)


@pytest.mark.parametrize("status", [200, 300, 304, 404])
def test_other_statuses_are_no_redirects(status):
    with pytest.raises(ValueError, match="308"):
        Redirect("/a", status)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "new",
        "//example.org/",
        "/\\example.org",
        "{path}",
        "https://{path}",
        "https://{tenant}.example.com/",
        "https://{host}{path}",
        "https://example.com{path}",
        "https://user@{path}/",
        "javascript:alert(1)",
        "https:///a",
    ],
)
def test_a_target_whose_host_could_come_from_the_path_is_refused(to):
    with pytest.raises(ValueError, match="is not a path"):
        Redirect(to)


@given(captured=st.binary(max_size=30), query=st.none() | st.binary(max_size=10))
@pytest.mark.parametrize("to", ["/{path}", "/{path}/x", "/a{path}"])
def test_a_local_redirect_stays_on_its_host_whatever_was_asked(to, captured, query):
    value = location(to, asking(query, path=captured))
    text = value.decode("ascii")
    assert text.isprintable()
    assert " " not in text
    assert "\\" not in text
    assert not text.startswith("//")
    assert urlsplit(text).netloc == ""


@given(captured=st.binary(max_size=30))
def test_a_redirect_to_another_host_goes_to_that_host(captured):
    value = location("https://blog.example.com/{path}", asking(path=captured))
    assert value.startswith(b"https://blog.example.com/")
    assert b"\r" not in value
    assert b"\n" not in value


def test_slashes_in_front_of_a_capture_do_not_name_another_host():
    assert location("/{path}", asking(path=b"/evil.example")) == b"/evil.example"
    assert location("/{path}", asking(path=b"\\/evil.example")) == b"/evil.example"


def test_a_capture_that_the_route_does_not_have_is_known_to_the_configuration():
    assert Redirect("{scheme}://{host}/{path}/{id}#{part}").captures == {"path", "id", "part"}
    assert location("/a/{id}", asking()) == b"/a/"


def test_without_a_host_a_redirect_to_the_same_host_is_a_bad_request():
    exchange = asking()
    exchange.host = b""
    reply = Redirect("https://{host}/").admit(exchange)
    assert reply is not None
    assert reply.status == 400
    assert reply.error is not None
