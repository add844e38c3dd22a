"""What is shared needs a Redis, and says so where it is asked for."""

from __future__ import annotations

import pytest

from gateway.config import ConfigError, parse

ROUTE = '[[routes]]\nupstream = "http://a"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, environ={})
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("redis", ["", '[redis]\nurl = ""\n', '[redis]\nurl = "${REDIS_URL:-}"\n'])
@pytest.mark.parametrize("store", ["redis", "tiered"])
def test_a_shared_store_needs_a_redis(redis: str, store: str):
    [fault] = faults(f'{redis}[cache]\nstore = "{store}"\n{ROUTE}')
    assert fault.endswith('cache.store: needs a Redis; add [redis] with url = "redis://host:6379/0"')
    assert fault.startswith(f"routes.toml:{2 + redis.count(chr(10))}:")


def test_nobody_shares_a_fetch_for_what_lies_in_memory():
    [fault] = faults(f'{ROUTE}cache = {{ coalesce = "global" }}\n')
    assert fault == (
        "routes.toml:3: routes[0].cache.coalesce: nobody shares what is stored in memory; "
        'write store = "tiered" in [cache], or coalesce = "local"'
    )


def test_a_fault_of_the_url_quotes_no_password():
    [fault] = faults(f'[redis]\nurl = "redis://:secret"\n{ROUTE}')
    assert "secret" not in fault
    assert fault.startswith("routes.toml:2: redis.url: a port is a number from 1 to 65535")


def test_a_redis_that_nothing_uses_is_no_fault():
    assert parse(f'[redis]\nurl = "redis://a"\n{ROUTE}', environ={}).redis is not None
