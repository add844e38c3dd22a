import pytest

from gateway.admin.api import ENDPOINTS, Order, read_order
from gateway.admin.guard import Refused


def test_an_order_has_its_path_query_and_body():
    order = read_order(b"GET", b"/status?full=1&name=a%20b", b'{"target": "api/a"}')
    assert (order.path, order.query, order.text("target")) == ("/status", {"full": "1", "name": "a b"}, "api/a")


def test_an_unknown_path_is_404_and_says_what_there_is():
    with pytest.raises(Refused) as caught:
        read_order(b"GET", b"/nothing", b"")
    assert caught.value.status == 404
    assert all(endpoint in caught.value.message for endpoint in ENDPOINTS)


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"OPTIONS", b"get"])
def test_another_method_is_405_with_those_that_are_allowed(method: bytes):
    with pytest.raises(Refused) as caught:
        read_order(method, b"/status", b"")
    assert caught.value.status == 405
    assert caught.value.headers == [(b"allow", b"GET")]


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[]", 422), (b'"x"', 422)])
def test_a_body_that_is_no_object_is_refused(body: bytes, status: int):
    with pytest.raises(Refused) as caught:
        read_order(b"GET", b"/status", body)
    assert caught.value.status == status


@pytest.mark.parametrize("body", [{}, {"target": 7}, {"target": ""}, {"target": None}])
def test_a_text_that_is_missing_is_named(body: dict[str, object]):
    with pytest.raises(Refused) as caught:
        Order("POST", "/drain", body).text("target")
    assert caught.value.status == 422
    assert '"target"' in caught.value.message
