"""Which responses are compressed, and what becomes of their fields."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compress import CODINGS
from gateway.exchange import Exchange, Headers, ResponseHead
from gateway.policies.compression import Compression

GZIP_ONLY = {"encodings": ["gzip"]}
HTML = (b"content-type", b"text/html; charset=utf-8")


def asking(*headers: tuple[bytes, bytes], method: bytes = b"GET") -> Exchange:
    return Exchange(method, b"/", None, list(headers))


def accepting(value: bytes, method: bytes = b"GET") -> Exchange:
    return asking((b"accept-encoding", value), method=method)


def answered(
    exchange: Exchange, *headers: tuple[bytes, bytes], status: int = 200, length: int | None = None, **options: object
) -> ResponseHead:
    head = ResponseHead(status, list(headers), length)
    Compression(**{**GZIP_ONLY, **options}).amend(exchange, head)
    return head


def assert_compressed(head: ResponseHead, coding: bytes = b"gzip") -> None:
    assert head.header(b"content-encoding") == coding
    assert head.transform is not None
    assert head.length is None
    assert head.header(b"content-length") is None
    assert head.header(b"vary") is not None


def assert_untouched(head: ResponseHead, *headers: tuple[bytes, bytes]) -> None:
    assert head.transform is None
    assert head.headers == list(headers)


def assert_plain_but_varying(head: ResponseHead) -> None:
    assert head.transform is None
    assert head.header(b"content-encoding") is None
    assert [value.lower() for name, value in head.headers if name == b"vary"] == [b"accept-encoding"]


def test_a_large_enough_text_is_compressed():
    head = answered(accepting(b"gzip"), HTML, (b"content-length", b"5000"), length=5000)
    assert_compressed(head)
    assert zlib.decompress(head.transform.feed(b"abc") + head.transform.finish(), 31) == b"abc"


def test_a_body_of_unknown_length_is_compressed():
    assert_compressed(answered(accepting(b"gzip"), HTML))


def test_a_small_body_is_not_compressed_but_varies():
    fields = (HTML, (b"content-length", b"1023"))
    assert_plain_but_varying(answered(accepting(b"gzip"), *fields, length=1023))
    assert_compressed(answered(accepting(b"gzip"), *fields, length=1024))
    assert_compressed(answered(accepting(b"gzip"), *fields, length=1023, min_size=1))


def test_an_empty_body_is_never_compressed():
    assert_plain_but_varying(answered(accepting(b"gzip"), HTML, length=0, min_size=0))


@pytest.mark.parametrize("accepted", [b"gzip;q=0", b"identity", b"", b"*;q=0", b"gzip;q=0, *", b"deflate"])
def test_a_client_that_does_not_take_gzip_gets_the_plain_form(accepted):
    head = answered(accepting(accepted), HTML, (b"content-length", b"5000"), length=5000)
    assert_plain_but_varying(head)
    assert head.length == 5000


def test_a_client_that_says_nothing_gets_the_plain_form():
    assert_plain_but_varying(answered(asking(), HTML))


@pytest.mark.parametrize("accepted", [b"gzip", b"GZIP;q=0.5", b"*", b"deflate, gzip;q=1.0, *;q=0.5"])
def test_a_client_that_takes_gzip_gets_it(accepted):
    assert_compressed(answered(accepting(accepted), HTML))


def test_several_lines_of_accept_encoding_are_one_list():
    exchange = asking((b"accept-encoding", b"br"), (b"accept-encoding", b"gzip"))
    assert_compressed(answered(exchange, HTML))


@pytest.mark.skipif(len(CODINGS) < 3, reason="needs zstd and br")
def test_among_equals_our_order_decides_and_otherwise_the_clients_weights():
    everything = {"encodings": None}
    assert_compressed(answered(accepting(b"gzip, deflate, br, zstd"), HTML, **everything), b"zstd")
    assert_compressed(answered(accepting(b"gzip, br"), HTML, **everything), b"br")
    assert_compressed(answered(accepting(b"gzip;q=1, br;q=0.5, zstd;q=0.4"), HTML, **everything), b"gzip")
    ours = {"encodings": ["br", "gzip", "zstd"]}
    assert_compressed(answered(accepting(b"gzip, br, zstd"), HTML, **ours), b"br")


@pytest.mark.parametrize(
    "media_type",
    [
        b"text/html",
        b"TEXT/PLAIN",
        b"application/json;charset=utf-8",
        b"application/problem+json",
        b"image/svg+xml ; a=b",
    ],
)
def test_the_listed_media_types_are_compressed(media_type):
    assert_compressed(answered(accepting(b"gzip"), (b"content-type", media_type)))


@pytest.mark.parametrize(
    "media_type",
    [b"image/png", b"video/mp4", b"application/octet-stream", b"application/zip", b"", b"text", b"x-text/html"],
)
def test_other_media_types_are_left_alone(media_type):
    assert_untouched(answered(accepting(b"gzip"), (b"content-type", media_type)), (b"content-type", media_type))


def test_a_response_without_a_media_type_is_left_alone():
    assert_untouched(answered(accepting(b"gzip"), length=5000))


@pytest.mark.parametrize("types", [["text/*"], ["*/*"]])
def test_an_event_stream_is_never_compressed(types):
    for value in (b"text/event-stream", b"text/Event-Stream; charset=utf-8"):
        field = (b"content-type", value)
        assert_untouched(answered(accepting(b"gzip"), field, types=types), field)


def test_a_wildcard_stays_within_its_part_of_the_type():
    options = {"types": ["application/*+json"]}
    assert_compressed(answered(accepting(b"gzip"), (b"content-type", b"application/ld+json"), **options))
    field = (b"content-type", b"application/json")
    assert_untouched(answered(accepting(b"gzip"), field, **options), field)
    field = (b"content-type", b"application/a/b+json")
    assert_untouched(answered(accepting(b"gzip"), field, **options), field)


def test_an_excluded_type_is_not_compressed_though_it_is_listed():
    field = (b"content-type", b"text/csv")
    assert_untouched(answered(accepting(b"gzip"), field, exclude=["text/csv"]), field)
    assert_compressed(answered(accepting(b"gzip"), HTML, exclude=["text/csv"]))


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip", b"unheard-of"])
def test_what_is_encoded_already_is_left_alone(coding):
    fields = (HTML, (b"content-encoding", coding), (b"etag", b'"a"'))
    assert_untouched(answered(accepting(b"gzip"), *fields), *fields)


def test_identity_is_no_encoding():
    head = answered(accepting(b"gzip"), HTML, (b"content-encoding", b"Identity"))
    assert [value for name, value in head.headers if name == b"content-encoding"] == [b"gzip"]


def test_no_transform_forbids_it():
    fields = (HTML, (b"cache-control", b"public, No-Transform"))
    assert_untouched(answered(accepting(b"gzip"), *fields), *fields)


def test_the_client_can_forbid_it_too():
    exchange = asking((b"accept-encoding", b"gzip"), (b"cache-control", b"no-transform"))
    assert_plain_but_varying(answered(exchange, HTML))


@pytest.mark.parametrize("status", [100, 103, 204, 205, 304])
def test_a_response_without_a_body_is_left_alone(status):
    assert_untouched(answered(accepting(b"gzip"), HTML, status=status), HTML)


def test_a_part_is_sent_as_it_is():
    content_range = (b"content-range", b"bytes 0-4999/9000")
    assert_plain_but_varying(answered(accepting(b"gzip"), HTML, content_range, status=206, length=5000))
    assert_plain_but_varying(
        answered(accepting(b"gzip"), HTML, (b"content-range", b"bytes */9"), status=416, length=5000)
    )


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_errors_are_compressed_like_other_responses(status):
    assert_compressed(answered(accepting(b"gzip"), HTML, status=status))


def test_a_strong_etag_becomes_weak_and_a_weak_one_stays():
    assert answered(accepting(b"gzip"), HTML, (b"etag", b'"a"')).header(b"etag") == b'W/"a"'
    assert answered(accepting(b"gzip"), HTML, (b"etag", b'W/"a"')).header(b"etag") == b'W/"a"'
    assert answered(accepting(b"identity"), HTML, (b"etag", b'"a"')).header(b"etag") == b'"a"'


def test_fields_about_the_bytes_of_the_plain_form_go_and_others_stay_in_order():
    about_the_plain_form = [
        (b"accept-ranges", b"bytes"),
        (b"content-digest", b"sha-256=:AA==:"),
        (b"repr-digest", b"sha-256=:AA==:"),
        (b"digest", b"md5=AA=="),
        (b"content-md5", b"AA=="),
        (b"content-length", b"5000"),
    ]
    kept = [HTML, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"link", b"</a>")]
    mixed = [kept[0], *about_the_plain_form, *kept[1:]]
    head = answered(accepting(b"gzip"), *mixed, length=5000)
    assert_compressed(head)
    assert [field for field in head.headers if field[0] not in (b"vary", b"content-encoding")] == kept
    plain = answered(accepting(b"identity"), *mixed, length=5000)
    assert plain.headers[: len(mixed)] == mixed


def test_vary_is_extended_and_not_repeated():
    for before in (b"accept-encoding", b"Origin, Accept-Encoding", b"*"):
        head = answered(accepting(b"gzip"), HTML, (b"vary", before))
        assert [value for name, value in head.headers if name == b"vary"] == [before]
    head = answered(accepting(b"gzip"), HTML, (b"vary", b"Origin"))
    names = b",".join(value for name, value in head.headers if name == b"vary").lower().replace(b" ", b"").split(b",")
    assert names == [b"origin", b"accept-encoding"]


def test_the_head_for_head_is_that_of_get():
    fields = (HTML, (b"content-length", b"5000"), (b"etag", b'"a"'))
    to_get = answered(accepting(b"gzip"), *fields, length=5000)
    to_head = answered(accepting(b"gzip", method=b"HEAD"), *fields, length=0)
    assert to_head.headers == to_get.headers
    assert to_head.transform is None
    small = (HTML, (b"content-length", b"50"))
    assert answered(accepting(b"gzip", method=b"HEAD"), *small, length=0).header(b"content-length") == b"50"


def test_a_304_names_the_validator_that_the_client_holds():
    exchange = asking((b"accept-encoding", b"gzip"), (b"if-none-match", b'"b", W/"a"'))
    head = answered(exchange, (b"etag", b'"a"'), status=304)
    assert head.header(b"etag") == b'W/"a"'
    assert head.header(b"vary") is not None
    strong = asking((b"accept-encoding", b"gzip"), (b"if-none-match", b'"a"'))
    assert_untouched(answered(strong, (b"etag", b'"a"'), status=304), (b"etag", b'"a"'))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"types": ["html"]}, '"html" is not a media type'),
        ({"types": ["text/html; charset=utf-8"]}, "is not a media type"),
        ({"types": ["text/event-stream"]}, "never compressed"),
        ({"exclude": ["png"]}, '"png" is not a media type'),
        ({"encodings": ["deflate"]}, '"deflate".*choose from zstd, br, gzip'),
        ({"encodings": []}, "empty"),
        ({"levels": {"gzip": 10}}, "gzip has the levels 1 to 9, not 10"),
        ({"encodings": ["gzip"], "levels": {"br": 4}}, '"br", which is not among the encodings'),
        ({"min_size": -1}, "number of bytes"),
    ],
)
def test_a_wrong_option_is_named(options, reason):
    with pytest.raises(ValueError, match=reason):
        Compression(**options)


def test_the_level_has_an_effect():
    body = b"".join(b"%d %x," % (number * 7919, number) for number in range(9000))
    sizes = []
    for level in (1, 9):
        head = answered(accepting(b"gzip"), HTML, levels={"gzip": level})
        sizes.append(len(head.transform.whole(body)))
    assert sizes[0] > sizes[1]


@given(values=st.lists(st.text("gzip;q=0.1,br *identity", max_size=20).map(str.encode), max_size=30))
def test_a_remembered_verdict_is_the_first_one(values):
    policy = Compression()
    for value in (*values, *values):
        remembered, first = ResponseHead(200, [HTML]), ResponseHead(200, [HTML])
        policy.amend(accepting(value), remembered)
        Compression().amend(accepting(value), first)
        assert remembered.headers == first.headers


def test_verdicts_stay_right_when_more_values_come_than_are_remembered():
    policy = Compression(**GZIP_ONLY)
    for number in range(1500):
        yes, no = ResponseHead(200, [(b"content-type", b"text/x-%d" % number)]), ResponseHead(200, [HTML])
        policy.amend(accepting(b"x-%d, gzip" % number), yes)
        policy.amend(accepting(b"x-%d, gzip;q=0" % number), no)
        assert_compressed(yes)
        assert_plain_but_varying(no)
    assert len(policy._chosen) <= 512
    assert len(policy._compressible) <= 512


def test_long_values_are_judged_but_not_remembered():
    policy, head = Compression(**GZIP_ONLY), ResponseHead(200, [HTML])
    policy.amend(accepting(b"x, " * 200 + b"gzip"), head)
    assert_compressed(head)
    assert policy._chosen == {}


def test_the_fields_are_changed_in_place():
    headers: Headers = [HTML]
    Compression(**GZIP_ONLY).amend(accepting(b"gzip"), head := ResponseHead(200, headers))
    assert head.headers is headers
