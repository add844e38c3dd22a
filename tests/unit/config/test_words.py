"""The words of other proxies lead to ours, and none leads nowhere."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

import gateway.config
from gateway.config import RouteOptions, Server, ServerTls, Timeouts, UpstreamOptions, UpstreamTls
from gateway.config.words import FOREIGN_KEYS, FOREIGN_VALUES, hint_for_key, hint_for_name, hint_for_value

OUR_KEYS = {
    key
    for model in vars(gateway.config).values()
    if isinstance(model, type) and issubclass(model, BaseModel)
    for key in model.model_fields
}


@pytest.mark.parametrize("word", FOREIGN_KEYS)
def test_every_foreign_word_leads_to_a_key_that_there_is(word: str):
    for ours in FOREIGN_KEYS[word]:
        key, _, table = ours.partition(" in ")
        assert key in OUR_KEYS or key in ("[[routes]]", "[upstreams.NAME]")
        assert not table or table.startswith("[") or table in OUR_KEYS or table == "tls of [server]"


def test_every_foreign_value_leads_to_one_that_there_is():
    assert set(FOREIGN_VALUES.values()) <= {
        "least_conn", "least_time", "round_robin", "p2c", "hash", "client_ip", "path", "1.2", "1.3", "required", "optional", "off", "combined",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "model", "ours"),
    [
        ("proxy_pass", RouteOptions, "upstream"),
        ("location", RouteOptions, "path"),
        ("server_name", RouteOptions, "host"),
        ("handle_path", RouteOptions, "strip_prefix"),
        ("header_up", RouteOptions, "request_headers"),
        ("passHostHeader", RouteOptions, "host_header"),
        ("return", RouteOptions, "respond"),
        ("server", UpstreamOptions, "targets"),
        ("lb_policy", UpstreamOptions, "balance"),
        ("maxconn", UpstreamOptions, "max_connections"),
        ("insecureSkipVerify", UpstreamTls, "verify"),
        ("ssl_ciphers", ServerTls, "ciphers"),
        ("bind", Server, "listen"),
        ("set_real_ip_from", Server, "trusted_proxies"),
        ("dial_timeout", Timeouts, "connect"),
        ("proxy_read_timeout", Timeouts, "read"),
        ("max-pending", UpstreamOptions, "max_pending"),
        ("hosst", RouteOptions, "host"),
        ("max_conn", UpstreamOptions, "max_connections"),
    ],
)
def test_a_foreign_or_misspelt_key_is_understood(word: str, model: type[BaseModel], ours: str):
    assert hint_for_key(word, model.model_fields) == f'did you mean "{ours}"?'


def test_a_foreign_key_of_another_table_is_sent_there():
    assert hint_for_key("worker_processes", RouteOptions.model_fields) == 'did you mean "workers" in [server]?'
    assert hint_for_key("location", Server.model_fields) == "did you mean [[routes]]?"


def test_a_key_that_is_like_none_gets_the_list():
    assert hint_for_key("zzz", ["a", "b"]) == "the keys here are a, b"


def test_values_are_understood_alike():
    assert hint_for_value("leastconn", ["round_robin", "least_conn"]) == 'did you mean "least_conn"?'
    assert hint_for_value("Round-Robin", ["round_robin", "least_conn"]) == 'did you mean "round_robin"?'
    assert hint_for_value("TLSv1.3", ["1.2", "1.3"]) == 'did you mean "1.3"?'
    assert hint_for_value("zzz", ["a", "b"]) == 'choose from "a", "b"'


def test_names_are_compared_with_those_that_are_declared():
    assert hint_for_name("serach", ["search", "shop"]) == 'did you mean "search"?'
    assert hint_for_name("zzz", ["search", "shop"]) == 'there are "search", "shop"'
    assert hint_for_name("zzz", []) == ""
