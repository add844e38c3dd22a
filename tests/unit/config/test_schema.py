"""The JSON Schema for editors, and the documentation: both say what the code does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import gateway.config as c
from gateway.config import Config, json_schema, load
from gateway.config.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "configuration.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
CERTIFICATES = re.findall(r'"(certs/[^"]+)"', DOCUMENT)

TABLES: Mapping[str, type[Options]] = {
    "Top level": Config,
    "`[server]`": c.Server,
    "`[server.limits]`": c.ServerLimits,
    "`[server.timeouts]`": c.ServerTimeouts,
    "`[server.tls]`": c.ServerTls,
    "`[defaults]`": c.Defaults,
    "timeouts": c.Timeouts,
    "compression": c.Compression,
    "hsts": c.Hsts,
    "retry": c.RetryOptions,
    "access": c.Access,
    "`[upstreams.NAME]`": c.UpstreamOptions,
    "targets": c.TargetOptions,
    "discover": c.Discover,
    "sticky": c.StickyOptions,
    "upstream tls": c.UpstreamTls,
    "keepalive": c.Keepalive,
    "adaptive_concurrency": c.AdaptiveOptions,
    "circuit_breaker": c.BreakerOptions,
    "health_check": c.HealthCheckOptions,
    "passive": c.PassiveOptions,
    "`[[routes]]`": c.RouteOptions,
    "split": c.Share,
    "mirror": c.MirrorOptions,
    "redirect": c.RedirectOptions,
    "respond": c.RespondOptions,
    "`request_headers` and `response_headers`": c.HeaderEdits,
    "cache of a route": c.RouteCacheOptions,
    "query of a cache": c.QueryOptions,
    "`[redis]`": c.RedisOptions,
    "`[cache]`": c.CacheOptions,
    "`[access_log]`": c.AccessLogOptions,
    "`[admin]`": c.AdminOptions,
}


def accepts(document: dict[str, Any]) -> bool:
    return jsonschema.Draft7Validator(json_schema()).is_valid(document)


def test_the_schema_that_is_checked_in_is_up_to_date():
    written = (ROOT / "routes.schema.json").read_text("utf-8")
    assert written == json.dumps(json_schema(), indent=2) + "\n", "run: gateway schema > routes.schema.json"


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(json_schema())


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_documentation_loads_and_fits_the_schema(example: str, tmp_path: Path):
    for name in CERTIFICATES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "routes.toml").write_text(example, "utf-8")
    load(tmp_path / "routes.toml")
    jsonschema.validate(tomllib.loads(example), json_schema(), jsonschema.Draft7Validator)


def test_the_complete_example_has_every_key():
    complete = max(EXAMPLES, key=len)
    missing = {key for model in TABLES.values() for key in model.model_fields if not re.search(rf"\b{key}\b", complete)}
    assert missing == set()


@pytest.mark.parametrize(("heading", "model"), TABLES.items())
def test_every_key_is_documented_and_no_other(heading: str, model: type[Options]):
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert section is not None
    assert set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)) == set(model.model_fields)


@pytest.mark.parametrize(
    "document",
    [
        {"server": {"timeouts": {"header": 10}}},
        {"server": {"timeouts": {"header": "10"}}},
        {"server": {"limits": {"max_body": "10m"}}},
        {"server": {"workers": 0}},
        {"server": {"workers": "2"}},
        {"serverr": {}},
        {"routes": {}},
        {"upstreams": {"a": {}}},
        {"upstreams": {"a": {"targets": [{"weight": 1}]}}},
        {"upstreams": {"a": {"targets": ["http://a"], "balance": "leastconn"}}},
        {"defaults": {"compression": "gzip"}},
    ],
)
def test_the_schema_refuses_what_the_gateway_refuses(document: dict[str, Any]):
    assert not accepts(document)


@pytest.mark.parametrize(
    "document",
    [
        {"server": {"workers": "${WORKERS:-2}", "listen": "${LISTEN}"}},
        {"server": {"timeouts": {"header": "${HEADER}"}}},
        {"upstreams": {"a": {"targets": ["http://a"], "balance": "${BALANCE}"}}},
        {"defaults": {"compression": True, "timeouts": {"total": "none"}}},
        {"admin": {"path": False}},
    ],
)
def test_the_schema_takes_what_the_gateway_takes(document: dict[str, Any]):
    assert accepts(document)


def test_defaults_are_shown_as_they_are_written():
    limits = json_schema()["definitions"]["ServerLimits"]["properties"]
    assert limits["max_body"]["default"] == "10MiB"
    assert json_schema()["definitions"]["Timeouts"]["properties"]["stream_idle"]["default"] == "1h"
