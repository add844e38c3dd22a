"""Which responses are stored, and what their entries say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.answered import control_of
from gateway.cache.entry import MAX_TAG, MAX_TAGS, MAX_VARY, Entry, Part
from gateway.cache.purge import origin_of
from gateway.cache.rules import Rules
from gateway.cache.storable import KEPT_FOR_VALIDATION, MAX_REQUEST, Refusal, storable
from support.caching import NOW, answer, asking, date, refused, stored

FRESH = "Cache-Control: max-age=60"
STATUSES = [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 499, 500, 501, 502, 503, 504, 599]


def is_stored(*lines: str, status: int = 200, rules: Rules | None = None, ask: str = "", method: str = "GET") -> bool:
    request = asking(*([ask] if ask else []), method=method)
    return isinstance(storable(request, answer(*lines, status=status), rules or Rules()), Entry)


# ---------------------------------------------------------------- statuses and methods


@pytest.mark.parametrize("status", STATUSES)
def test_every_final_status_with_explicit_freshness_is_stored(status: int):
    entry = stored(FRESH, status=status)
    assert (entry.status, entry.fresh_until) == (status, NOW + 60)


@pytest.mark.parametrize("status", [100, 103, 304])
def test_interim_answers_and_304_are_not_stored(status: int):
    assert refused(FRESH, status=status) is Refusal.STATUS


def test_a_416_is_about_one_request_and_not_stored():
    assert refused(FRESH, status=416) is Refusal.STATUS


@pytest.mark.parametrize(
    ("status", "guessed"),
    [(200, True), (203, True), (204, True), (300, True), (301, True), (308, True), (404, True), (405, True), (410, True), (414, True), (501, True),
     (201, False), (202, False), (302, False), (403, False), (502, False), (503, False), (504, False), (599, False)],
)  # fmt: skip
def test_freshness_is_guessed_for_the_statuses_that_allow_it(status: int, guessed: bool):
    modified = f"Last-Modified: {date(-1000)}"
    assert is_stored(f"Date: {date()}", modified, status=status) is guessed
    assert is_stored(f"Date: {date()}", modified, "Cache-Control: public", status=status)


def test_nothing_is_guessed_for_requests_with_cookies():
    assert not is_stored(f"Last-Modified: {date(-1000)}", ask="Cookie: a=b")
    assert is_stored(FRESH, ask="Cookie: a=b")


@pytest.mark.parametrize(("status", "kept"), [(200, True), (599, False)])
def test_must_understand_outweighs_no_store_for_statuses_that_we_know(status: int, kept: bool):
    assert is_stored("Cache-Control: no-store, must-understand, max-age=60", status=status) is kept


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "M-SEARCH"])
def test_responses_to_other_methods_are_not_stored(method: str):
    assert refused(FRESH, ask=asking(method=method)) is Refusal.METHOD


@pytest.mark.parametrize(
    ("location", "kept"),
    [("/a?x=1", True), ("https://shop.example/a?x=1", True), ("/a", False), ("https://other.example/a?x=1", False), ("//shop.example/a?x=1", False), ("", False)],
)  # fmt: skip
def test_a_post_answers_later_gets_where_it_says_so(location: str, kept: bool):
    assert is_stored(FRESH, f"Content-Location: {location}", method="POST") is kept


def test_a_post_needs_one_content_location_and_explicit_freshness():
    assert refused(FRESH, ask=asking(method="POST")) is Refusal.METHOD
    both = ("Content-Location: /a?x=1", "Content-Location: /a?x=1")
    assert refused(FRESH, *both, ask=asking(method="POST")) is Refusal.METHOD
    assert refused(both[0], ask=asking(method="POST"), rules=Rules(ttl=60)) is Refusal.METHOD


def test_a_route_says_whose_methods_responses_are_stored():
    assert refused(FRESH, rules=Rules(methods=frozenset({b"POST"}))) is Refusal.METHOD


# ---------------------------------------------------------------- what forbids it


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Cache-Control: no-store, max-age=60", Refusal.NO_STORE),
        ("Cache-Control: max-age=60, nO-StOrE", Refusal.NO_STORE),
        ("Cache-Control: private, max-age=60", Refusal.PRIVATE),
        ("Cache-Control: max-age=0", Refusal.FRESHNESS),
        ("Cache-Control: no-cache", Refusal.FRESHNESS),
        ("Cache-Control: max-age=oops", Refusal.FRESHNESS),
        ("Expires: 0", Refusal.FRESHNESS),
        ("X-Nothing: said", Refusal.FRESHNESS),
        ("ETag: \"1\"", Refusal.FRESHNESS),
    ],
)
def test_what_a_response_says_against_it_counts(line: str, reason: Refusal):
    assert refused(line) is reason
    assert reason.lasts


def test_what_can_not_be_fresh_is_stored_only_to_be_validated():
    entry = stored("Cache-Control: no-cache", 'ETag: "1"')
    assert (entry.always_validate, entry.never_stale, entry.etag) == (True, True, b'"1"')
    assert entry.kept_until == NOW + KEPT_FOR_VALIDATION
    assert stored("Cache-Control: max-age=0", f"Last-Modified: {date(-9)}").fresh_until == NOW


def test_what_is_stale_at_once_may_still_be_used_while_it_is_validated():
    assert stored("Cache-Control: max-age=0, stale-while-revalidate=9").kept_until >= NOW + 9
    assert refused("Cache-Control: max-age=0, stale-while-revalidate=9, must-revalidate") is Refusal.FRESHNESS


def test_the_answer_to_credentials_is_stored_only_where_it_is_allowed():
    ask = asking("Authorization: Basic x")
    assert refused(FRESH, ask=ask) is Refusal.AUTHORIZED
    assert not Refusal.AUTHORIZED.lasts
    for directive in ("public", "must-revalidate", "s-maxage=60"):
        entry = stored(f"Cache-Control: max-age=60, {directive}", ask=ask)
        assert entry.for_authorized
    assert not stored(FRESH).for_authorized


def test_a_cookie_is_stored_only_with_explicit_freshness_of_the_response_itself():
    assert (b"set-cookie", b"a=b") in stored(FRESH, "Set-Cookie: a=b").headers
    assert refused("Set-Cookie: a=b", f"Last-Modified: {date(-1000)}") is Refusal.COOKIE
    assert refused("Set-Cookie: a=b", rules=Rules(ttl=60)) is Refusal.COOKIE
    for control in ("no-cache", "max-age=0", "max-age=60, no-cache", "max-age=0, stale-while-revalidate=9"):
        assert refused("Set-Cookie: a=b", 'ETag: "1"', f"Cache-Control: {control}") is Refusal.COOKIE


def test_a_request_may_forbid_it():
    assert refused(FRESH, ask=asking("Cache-Control: no-store")) is Refusal.REQUEST
    assert stored(FRESH, ask=asking("Cache-Control: no-store", heed=False))


def test_the_answer_to_an_oversized_request_is_not_stored():
    name = "X-Padding"
    fits = asking(f"{name}: " + "x" * (MAX_REQUEST - len(name)))
    too_large = asking(f"{name}: " + "x" * (MAX_REQUEST - len(name) + 1))
    assert stored(FRESH, ask=fits)
    assert refused(FRESH, ask=too_large, status=400) is Refusal.REQUEST


def test_a_body_that_is_known_to_be_too_large_is_not_stored():
    rules = Rules(max_object=10)
    assert refused(FRESH, rules=rules, length=11) is Refusal.SIZE
    assert isinstance(storable(asking(), answer(FRESH, length=10), rules), Entry)
    assert isinstance(storable(asking(), answer(FRESH, length=None), rules), Entry)


# ---------------------------------------------------------------- what a route adds


def test_a_ttl_is_for_successes_that_say_nothing_and_negative_for_errors():
    rules = Rules(ttl=30, negative={404: 5})
    assert stored("X: y", rules=rules).fresh_until == NOW + 30
    assert stored("X: y", rules=rules, status=404).fresh_until == NOW + 5
    assert stored(FRESH, rules=rules).fresh_until == NOW + 60
    assert refused("X: y", rules=rules, status=500) is Refusal.FRESHNESS
    assert refused("X: y", rules=rules, status=302) is Refusal.FRESHNESS
    assert refused("Cache-Control: no-cache", rules=rules) is Refusal.FRESHNESS
    assert refused("Cache-Control: private", rules=rules) is Refusal.PRIVATE


def test_stale_windows_are_the_responses_own_and_else_the_routes():
    rules = Rules(stale_while_revalidate=7, stale_if_error=8)
    own = stored("Cache-Control: max-age=60, stale-while-revalidate=1, stale-if-error=2", rules=rules)
    assert (own.stale_while_revalidate, own.stale_if_error) == (1, 2)
    given = stored(FRESH, rules=rules)
    assert (given.stale_while_revalidate, given.stale_if_error, given.kept_until) == (7, 8, NOW + 68)
    broken = stored("Cache-Control: max-age=60, stale-if-error=x", rules=rules)
    assert broken.stale_if_error == 0


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
def test_some_directives_forbid_every_use_when_stale(directive: str):
    entry = stored(f"Cache-Control: max-age=60, stale-if-error=9, stale-while-revalidate=9, {directive}", 'ETag: "1"')
    assert entry.never_stale
    assert (entry.stale_while_revalidate, entry.stale_if_error) == (0, 0)


# ---------------------------------------------------------------- fields


def test_fields_are_kept_but_for_those_that_are_restricted_or_not_for_storage():
    entry = stored('Cache-Control: max-age=60, private="a, b", no-cache=c', "A: 1", "b: 2", "C: 3", "D: 4", "Age: 5", "Cache-Status: x; hit",
                   "Gateway-Cache-Control: &&&", f"Date: {date()}")  # fmt: skip
    assert [name for name, _ in entry.headers] == [b"cache-control", b"d", b"date"]
    assert not entry.always_validate


def test_a_missing_date_is_added():
    assert (b"date", date().encode()) in stored(FRESH).headers


def test_a_coded_response_varies_by_accept_encoding_whether_it_says_so_or_not():
    ask = asking("Accept-Encoding: gzip")
    assert stored(FRESH, "Content-Encoding: gzip", ask=ask).vary == ((b"accept-encoding", b"gzip"),)
    assert stored(FRESH, "Content-Encoding: gzip", "Vary: A", ask=ask).vary == ((b"a", None), (b"accept-encoding", b"gzip"))
    assert stored(FRESH, "Content-Encoding: gzip", "Vary: Accept-Encoding", ask=ask).vary == ((b"accept-encoding", b"gzip"),)
    assert stored(FRESH, "Content-Encoding: identity", ask=ask).vary == ()


def test_what_varies_on_everything_or_too_much_is_not_stored():
    assert refused(FRESH, "Vary: *") is Refusal.VARY
    assert stored(FRESH, "Vary: " + ",".join(f"x{n}" for n in range(MAX_VARY)))
    assert refused(FRESH, "Vary: " + ",".join(f"x{n}" for n in range(MAX_VARY + 1))) is Refusal.VARY


def test_tags_come_from_three_fields():
    entry = stored(FRESH, "Surrogate-Key: a b", "Cache-Tag: c,b, d", 'Cache-Groups: "g", "h i"')
    assert entry.tags == (b"a", b"b", b"c", b"d", b"https://shop.example g", b"https://shop.example h i")
    assert stored(FRESH, "X-Tags: a", "Surrogate-Key: b", rules=Rules(tags_header=b"x-tags")).tags == (b"a",)
    assert stored(FRESH, "Cache-Groups: not, strings").tags == ()


def test_what_has_more_tags_than_can_be_purged_is_not_stored():
    assert len(stored(FRESH, "Cache-Tag: " + " ".join(f"t{n}" for n in range(MAX_TAGS))).tags) == MAX_TAGS
    assert refused(FRESH, "Cache-Tag: " + " ".join(f"t{n}" for n in range(MAX_TAGS + 1))) is Refusal.TAGS
    assert refused(FRESH, "Cache-Tag: " + "t" * (MAX_TAG + 1)) is Refusal.TAGS


# ---------------------------------------------------------------- targeted fields


def test_a_valid_targeted_field_takes_the_place_of_cache_control_and_expires():
    entry = stored("Cache-Control: no-store", "CDN-Cache-Control: max-age=10", "Expires: 0")
    assert entry.fresh_until == NOW + 10
    assert refused("Cache-Control: max-age=60", "CDN-Cache-Control: no-store") is Refusal.NO_STORE
    assert refused("Cache-Control: max-age=60", "CDN-Cache-Control: private") is Refusal.PRIVATE
    assert refused(f"Expires: {date(60)}", "CDN-Cache-Control: public") is Refusal.FRESHNESS


def test_an_invalid_targeted_field_is_ignored():
    for value in ("max-age=10, &&&&&", 'max-age="10"', ""):
        assert stored("Cache-Control: max-age=60", f"CDN-Cache-Control: {value}").fresh_until == NOW + 60


def test_our_own_targeted_field_goes_first():
    lines = ("Cache-Control: max-age=1", "CDN-Cache-Control: max-age=2", "Gateway-Cache-Control: max-age=3")
    assert stored(*lines).fresh_until == NOW + 3
    assert control_of(answer(*lines[:2])).targeted
    assert not control_of(answer(lines[0])).targeted


def test_the_age_counts_beside_a_targeted_field_too():
    entry = stored("CDN-Cache-Control: max-age=60", "Age: 50")
    assert (entry.born_at, entry.fresh_until) == (NOW - 50, NOW + 10)


# ---------------------------------------------------------------- parts


def test_a_part_is_stored_as_a_piece_of_the_whole():
    entry = stored(FRESH, "Content-Range: bytes 5-9/10", "Content-Length: 5", status=206)
    assert (entry.status, entry.part) == (200, Part(5, 9, 10))
    assert not {b"content-range", b"content-length"} & {name for name, _ in entry.headers}
    assert stored("X: y", "Content-Range: bytes 5-9/10", status=206, rules=Rules(ttl=3)).fresh_until == NOW + 3


@pytest.mark.parametrize("value", ["bytes 4-9/10", "bytes 5-9/*", "bytes 5-9/7", "items 5-9/10", ""])
def test_a_part_that_does_not_fit_its_description_is_not_stored(value: str):
    assert refused(FRESH, f"Content-Range: {value}", status=206) is Refusal.RANGE


def test_a_part_needs_one_content_range_and_a_length():
    assert refused(FRESH, status=206) is Refusal.RANGE
    assert refused(FRESH, *["Content-Range: bytes 5-9/10"] * 2, status=206) is Refusal.RANGE
    assert refused(FRESH, "Content-Range: bytes 5-9/10", status=206, length=None) is Refusal.RANGE


# ---------------------------------------------------------------- whatever comes


LINES = st.sampled_from(
    ["Cache-Control: max-age=60", "Cache-Control: s-maxage=5", "Cache-Control: public", "Cache-Control: no-cache", "Cache-Control: must-revalidate",
     "Cache-Control: stale-if-error=99", "Age: 30", "Expires: 0", f"Expires: {date(100)}", f"Date: {date(-20)}", f"Last-Modified: {date(-500)}",
     'ETag: "1"', "Vary: Accept", "CDN-Cache-Control: max-age=7", "Set-Cookie: a=b"]
)  # fmt: skip


@given(st.lists(LINES, max_size=6), st.sampled_from(STATUSES))
def test_an_entry_is_of_use_as_long_as_it_is_kept(lines: list[str], status: int):
    made = storable(asking(), answer(*lines, status=status), Rules())
    if isinstance(made, Refusal):
        return
    assert made.born_at <= NOW
    assert made.kept_until >= max(made.fresh_until, NOW)
    assert made.fresh_until > NOW or made.etag or made.last_modified
    assert not (made.never_stale and (made.stale_if_error or made.stale_while_revalidate))
    assert not made.always_validate or made.never_stale
    assert any(name == b"date" for name, _ in made.headers)


def test_the_origin_of_a_url_is_its_scheme_and_authority():
    assert origin_of(b"https://a:8080/b?c=/d") == b"https://a:8080"
    assert origin_of(b"http://a") == b"http://a"
