import pytest

from gateway.admin.guard import Guard, Refused
from gateway.rfc.message import RequestHead, read_request_head

TOKEN = "s3cret"


def head(*fields: str, method: str = "POST") -> RequestHead:
    if not any(field.lower().startswith("host:") for field in fields):
        fields = ("Host: 127.0.0.1:9901", *fields)
    return read_request_head("\r\n".join([f"{method} /reload HTTP/1.1", *fields]).encode())


def refused(guard: Guard, *fields: str) -> int:
    with pytest.raises(Refused) as caught:
        guard.check(head(*fields))
    return caught.value.status


@pytest.mark.parametrize("host", ["127.0.0.1:9901", "[::1]:9901", "localhost", "LOCALHOST:9901", "10.0.0.7", "admin.internal:1"])
def test_addresses_localhost_and_the_listeners_own_name_are_ours(host: str):
    Guard(None, {"admin.internal"}).check(head(f"Host: {host}"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9901", "127.0.0.1.evil.example", "localhost.evil.example"])
def test_a_name_that_anybody_can_point_at_this_machine_is_refused(host: str):
    assert refused(Guard(None), f"Host: {host}") == 421


def test_with_a_token_any_name_may_be_used():
    Guard(TOKEN).check(head("Host: gateway.internal", f"Authorization: Bearer {TOKEN}"))


def test_a_unix_socket_is_asked_by_any_name():
    Guard(None, local=True).check(head("Host: whatever"))


@pytest.mark.parametrize(
    "fields",
    [
        ["Origin: http://evil.example"],
        ["Origin: null"],
        ["Origin: http://127.0.0.1:9902"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
        ["Origin: http://127.0.0.1:9901", "Origin: http://evil.example"],
    ],
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_pages_of_other_sites_give_no_orders(fields: list[str], token: str | None):
    assert refused(Guard(token), *fields, f"Authorization: Bearer {TOKEN}") == 403


@pytest.mark.parametrize("fields", [["Origin: http://127.0.0.1:9901", "Sec-Fetch-Site: same-origin"], ["Sec-Fetch-Site: none"]])
def test_our_own_page_and_the_address_bar_may(fields: list[str]):
    Guard(None).check(head(*fields))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Authorization: Bearer wrong"],
        ["Authorization: Bearer"],
        [f"Authorization: Basic {TOKEN}"],
        [f"Authorization: Bearer {TOKEN}x"],
        [f"Authorization: {TOKEN}"],
        [f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"],
    ],
)
def test_without_the_token_nothing_is_followed(fields: list[str]):
    assert refused(Guard(TOKEN), *fields) == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_is_shown_as_a_bearer(scheme: str):
    Guard(TOKEN).check(head(f"Authorization: {scheme} {TOKEN}"))


@pytest.mark.parametrize("kind", ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X: y"])
def test_a_body_that_a_form_could_send_is_refused(kind: str):
    assert refused(Guard(None), kind, "Content-Length: 2") == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_a_json_body_is_taken(kind: str):
    Guard(None).check(head(f"Content-Type: {kind}", "Content-Length: 2"))
