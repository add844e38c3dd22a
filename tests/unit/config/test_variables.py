"""References to the environment and to files, and keys that the environment puts over the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, load, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Fault

UPSTREAM = '[upstreams."my.api-1"]\ntargets = ["http://a"]\n[[routes]]\nupstream = "my.api-1"\n'


def test_a_variable_is_filled_in_anywhere_in_a_text():
    config = parse('[[routes]]\nupstream = "http://${HOST}:${PORT}"', environ={"HOST": "api", "PORT": "9000"})
    assert config.routes[0].upstream == "http://api:9000"


@pytest.mark.parametrize("environ", [{}, {"NAME": ""}])
def test_the_default_stands_in_for_a_variable_that_is_not_set_or_empty(environ: dict[str, str]):
    assert parse('server.request_id = "${NAME:-X-Id}"', environ=environ).server.request_id == "X-Id"


def test_a_default_may_be_empty_or_hold_what_urls_hold():
    config = parse('[[routes]]\nrespond = { body = "[${A:-}][${B:-redis://h:1/0?x=1}]" }', environ={})
    assert config.routes[0].respond is not None
    assert config.routes[0].respond.body == "[][redis://h:1/0?x=1]"


def test_a_doubled_dollar_is_a_plain_one():
    config = parse("[[routes]]\nrespond = { body = '$${A} $5 $$' }", environ={})
    assert config.routes[0].respond is not None
    assert config.routes[0].respond.body == "${A} $5 $$"


def test_numbers_switches_durations_and_choices_may_come_from_variables():
    config = parse(
        """
[server]
workers = "${WORKERS}"
timeouts = { header = "${HEADER}" }
[defaults]
hsts = { preload = "${PRELOAD}", include_subdomains = true }
compression = "${COMPRESS}"
[upstreams.a]
targets = ["http://a"]
balance = "${BALANCE}"
""",
        environ={"WORKERS": "3", "HEADER": "7s", "PRELOAD": "true", "BALANCE": "least_conn", "COMPRESS": "true"},
    )
    assert (config.server.workers, config.server.timeouts.header) == (3, 7.0)
    assert config.upstreams["a"].balance == "least_conn"
    assert config.defaults.compression
    assert config.defaults.hsts


def test_a_file_is_filled_in_without_its_final_newline(tmp_path: Path):
    (tmp_path / "name").write_text("X-Id\n")
    (tmp_path / "routes.toml").write_text('server.request_id = "${file:name}"')
    assert load(tmp_path / "routes.toml").server.request_id == "X-Id"


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("${NAME}", "the environment variable NAME is not set", "set it, or write ${NAME:-default}"),
        ("${file:/nowhere}", '"/nowhere" cannot be read: No such file or directory', ""),
        ("${NAME:?must}", '"${NAME:?must}" is not a reference', "write ${NAME}, ${NAME:-default}"),
        ("${NAME", '"${NAME" is not a reference', "$${ for a plain ${"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_fault_with_its_line(
    fault: Callable[..., Fault], reference: str, message: str, hint: str
):
    found = fault(f'# first\n[[routes]]\nupstream = "{reference}"')
    assert (found.line, found.key, found.message) == (3, "routes[0].upstream", message)
    assert hint in found.hint


def test_a_number_from_a_variable_that_is_none_is_a_fault(fault: Callable[..., Fault]):
    found = fault('server.workers = "${W}"', W="many")
    assert (found.line, found.message) == (1, '"many" is not a whole number')


def test_any_single_value_can_be_put_over_the_files():
    config = parse(
        UPSTREAM + 'host = ["a"]',
        environ={
            "GATEWAY__SERVER__TIMEOUTS__HEADER": "5s",
            "GATEWAY__SERVER__WORKERS": "4",
            "GATEWAY__DEFAULTS__COMPRESSION": "true",
            "GATEWAY__UPSTREAMS__MY_API_1__MAX_PENDING": "7",
            "GATEWAY__ROUTES__0__MAX_BODY": "1MiB",
            "GATEWAY__ROUTES__0__HOST__0": "b",
            "GATEWAY__ADMIN__PATH": "false",
        },
    )
    assert config.server.timeouts.header == 5.0
    assert config.server.workers == 4
    assert config.compression_for(config.routes[0]) is not None
    assert config.upstreams["my.api-1"].max_pending == 7
    assert (config.routes[0].max_body, config.routes[0].host) == (2**20, ["b"])
    assert config.admin.path is None


def test_what_replaces_a_value_takes_the_fault_with_it():
    assert parse('server.workers = "${GONE}"', environ={"GATEWAY__SERVER__WORKERS": "2"}).server.workers == 2


@pytest.mark.parametrize(
    ("variable", "value", "key", "message"),
    [
        ("GATEWAY__SERVER__TIMEOUTS__HEADER", "5", "server.timeouts.header", '"5" is not a duration'),
        ("GATEWAY__SERVER__TIMEOUT", "5s", "server.timeout", "unknown key"),
        ("GATEWAY__ROUTES__3__MAX_BODY", "1B", "routes[3].max_body", "there is nothing in the file that this could change"),
        ("GATEWAY__ROUTES__0__NAME__X", "1", "routes[0].name.x", "there is nothing in the file that this could change"),
        ("GATEWAY__SERVER__LIMITS", "1", "server.limits", 'a table is wanted, not the text "1"'),
        ("GATEWAY_LISTEN", "8080", "server.listen[0]", '"8080" is not an address'),
        ("WEB_CONCURRENCY", "x", "server.workers", '"x" is not a whole number'),
    ],
)  # fmt: skip
def test_a_fault_in_a_variable_names_the_variable(
    fault: Callable[..., Fault], variable: str, value: str, key: str, message: str
):
    text = UPSTREAM.replace("my.api-1", "api") + 'name = "a"'
    found = fault(text, **{variable: value})
    assert (found.file, found.line, found.key, found.message) == (variable, 0, key, message)
    assert str(found).startswith(f"{variable}: {key}: {message}")


def test_the_listeners_can_be_given_by_the_environment():
    config = parse('server.listen = ":1"', environ={"GATEWAY_LISTEN": "127.0.0.1:80, [::1]:80"})
    assert config.server.listen == ["127.0.0.1:80", "[::1]:80"]


def test_web_concurrency_counts_where_the_file_is_silent():
    assert parse("", environ={"WEB_CONCURRENCY": "3"}).server.workers == 3
    assert parse("server.workers = 2", environ={"WEB_CONCURRENCY": "3"}).server.workers == 2


def test_a_configuration_built_in_code_takes_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("GATEWAY_LISTEN", ":1")
    assert (Config().server.workers, Config().server.listen) == (1, ["127.0.0.1:8080"])
