"""Every form of a Redis' URL, every fault of one, and never a credential in words."""

from __future__ import annotations

import pytest

from gateway.config.faults import Wrong
from gateway.config.redis import RedisOptions, redis_address
from gateway.redis.address import Endpoint, Form, RedisAddress


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("redis://localhost", RedisAddress(Form.SINGLE, (Endpoint("localhost", 6379),)), "localhost:6379"),
        ("redis://h:7/3", RedisAddress(Form.SINGLE, (Endpoint("h", 7),), database=3), "h:7"),
        ("redis://[::1]:7", RedisAddress(Form.SINGLE, (Endpoint("::1", 7),)), "[::1]:7"),
        ("redis://[::1]", RedisAddress(Form.SINGLE, (Endpoint("::1", 6379),)), "[::1]:6379"),
        ("rediss://u:p%40%2F@h", RedisAddress(Form.SINGLE, (Endpoint("h", 6379),), username="u", password="p@/", tls=True), "h:6379"),
        ("redis://:a@b@h", RedisAddress(Form.SINGLE, (Endpoint("h", 6379),), password="a@b"), "h:6379"),
        ("unix:/run/r.sock", RedisAddress(Form.SINGLE, (Endpoint("", 0, "/run/r.sock"),)), "unix:/run/r.sock"),
        ("redis+sentinel://a,b:1/main/2", RedisAddress(Form.SENTINEL, (Endpoint("a", 26379), Endpoint("b", 1)), service="main", database=2), "a:26379,b:1/main"),
        ("rediss+cluster://a,b:1", RedisAddress(Form.CLUSTER, (Endpoint("a", 6379), Endpoint("b", 1)), tls=True), "a:6379,b:1"),
    ],
)  # fmt: skip
def test_a_url_says_where_and_how(text: str, address: RedisAddress, name: str):
    assert redis_address(text) == address
    assert address.name == name


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("localhost:6379", "not the URL of a Redis", "redis://host:6379/0"),
        ("http://h", '"http" is no scheme', "redis://host:6379/0"),
        ("valkey://h", '"valkey" is no scheme', 'write "redis://"'),
        ("redis-sentinel://h/m", '"redis-sentinel" is no scheme', 'write "redis+sentinel://"'),
        ("redis://h?db=1", "a query", "the other keys of [redis]"),
        ("redis://user@h", "a user without a password", "redis://USER:PASSWORD@host"),
        ("redis://user:@h", "a user without a password", ":PASSWORD@"),
        ("redis://", "the host is missing", "redis://host"),
        ("redis://:secret", "a port is a number", "redis://host"),
        ("redis://h:0", "a port is a number", "redis://host"),
        ("redis://h<x", "this is not a host", "redis://host"),
        ("redis://[::g]", "not an address", "redis://host"),
        ("redis://a,b", "several hosts", "redis+cluster://"),
        ("redis://h/x", "number of a database", '"/0"'),
        ("redis://h/1/2", "number of a database", '"/0"'),
        ("redis+sentinel://h", "the service is missing", "/service"),
        ("redis+cluster://h/1", "no databases", "leave the path out"),
        ("unix:run/r.sock", "not the path of a socket", "unix:/run"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(text: str, message: str, hint: str):
    with pytest.raises(Wrong) as caught:
        redis_address(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


def test_an_empty_url_is_no_redis():
    assert RedisOptions.model_validate({"url": ""}).address is None


def test_a_printed_configuration_holds_no_credential():
    options = RedisOptions.model_validate({"url": "redis://someone:secret@h"})
    assert options.address is not None
    assert (options.address.username, options.address.password) == ("someone", "secret")
    assert "secret" not in repr(options) + str(options) + repr(options.address)
    assert "someone" not in repr(options)
