from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Config, build
from gateway.config.compare import compare

BASE: dict[str, Any] = {
    "upstreams": {"api": {"targets": [{"url": "http://a:1"}, {"url": "http://b:1"}]}},
    "routes": [{"name": "one", "path": "/one", "upstream": "api"}, {"name": "two", "path": "/two", "upstream": "api"}],
}


def lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return compare(build(before), build(after)).lines()


def with_(**changes: Any) -> dict[str, Any]:
    return {**BASE, **changes}


def test_the_same_is_no_change():
    changes = compare(build(BASE), build(BASE))
    assert not changes
    assert changes.told() == {}
    assert changes.lines() == []


def test_routes_are_known_by_name_and_their_keys_are_named():
    after = [
        {"name": "two", "path": "/zwei", "upstream": "api", "timeouts": {"read": 5.0}},
        {"name": "three", "path": "/three", "upstream": "api"},
    ]
    assert lines(BASE, with_(routes=after)) == ["+ route three", "- route one", "~ route two: path, timeouts.read"]


def test_another_order_is_a_change_of_its_own():
    assert lines(BASE, with_(routes=BASE["routes"][::-1])) == ["~ the order of the routes"]


def test_targets_come_go_and_change_within_their_upstream():
    after = {"api": {"targets": [{"url": "http://b:1", "weight": 3}, {"url": "http://c:1"}], "max_connections": 7}}
    assert lines(BASE, with_(upstreams=after)) == [
        "~ upstream api: max_connections",
        "+ target api/http://c:1",
        "- target api/http://a:1",
        "~ target api/http://b:1: weight",
    ]


def test_a_url_in_place_of_an_upstream_is_one_as_well():
    after = [*BASE["routes"], {"name": "three", "path": "/three", "upstream": "http://x:1"}]
    assert lines(BASE, with_(routes=after)) == [
        "+ route three", "+ upstream http://x:1", "+ target http://x:1/http://x:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"server": {"limits": {"max_headers": 7}}}, ["~ server.limits.max_headers"]),
        ({"access_log": {"format": "off"}}, ["~ access_log.format"]),
        ({"server": {"access": {"deny": ["10.0.0.1"]}}}, ["~ server.access"]),
        ({"server": {"listen": [":1"], "drain_timeout": 3.0}}, ["~ server.drain_timeout", "! server.listen needs a restart"]),
        ({"server": {"workers": 2}}, ["! server.workers needs a restart"]),
    ],
)
def test_settings_are_named_and_those_that_need_a_restart_say_so(changed: dict[str, Any], expected: list[str]):
    assert lines(BASE, with_(**changed)) == expected


def test_as_json_it_has_only_what_has_changed():
    after = with_(routes=[*BASE["routes"], {"name": "three", "path": "/3", "upstream": "api"}], server={"workers": 2})
    assert compare(build(BASE), build(after)).told() == {
        "routes": {"added": ["three"]}, "settings": ["server.workers"], "restart": ["server.workers"],
    }  # fmt: skip


def test_equal_configurations_have_the_same_digest_and_others_have_not():
    def digest(config: Config) -> str:
        return config.digest

    assert digest(build(BASE)) == digest(build(BASE)) != digest(build(with_(routes=BASE["routes"][:1])))
