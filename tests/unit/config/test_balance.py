"""Balancers, keys and sticky cookies as they are written, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.balance import BALANCERS
from gateway.config import lint, parse
from gateway.extensions import BALANCERS as BALANCERS_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Fault

UPSTREAM = '[upstreams.a]\ntargets = ["http://a", "http://b"]\n'  # lines 1 and 2
SPLIT = '[[routes]]\nsplit = [{ upstream = "http://a" }, { upstream = "http://b" }]\n'
ROUTE = '[[routes]]\nupstream = "http://a"\n'
STICKY = "[upstreams.a.sticky]\n"  # line 3 after UPSTREAM
CHOICES = 'choose from "round_robin", "random", "p2c", "least_conn", "least_time", "hash", "first", or write "package.module:Class"'


@pytest.mark.parametrize("name", [*BALANCERS, "examples.own_balancer:Nearest", "gateway.balance.p2c:PowerOfTwoChoices"])
def test_balancers_have_names_and_those_of_others_import_paths(name: str):
    assert parse(f'{UPSTREAM}balance = "{name}"').upstreams["a"].balance == name


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "hint"),
    [
        (UPSTREAM + 'balance = "leastconn"', 3, "upstreams.a.balance", '"leastconn" is none of the choices', 'did you mean "least_conn"?'),
        (UPSTREAM + 'balance = "ip_hash"', 3, "upstreams.a.balance", '"ip_hash" is none of the choices', 'did you mean "hash"?'),
        (UPSTREAM + 'balance = "xyz"', 3, "upstreams.a.balance", '"xyz" is none of the choices', CHOICES),
        (UPSTREAM + "balance = 5", 3, "upstreams.a.balance", "a text in quotes is wanted, not the number 5", 'write "5"'),
        (UPSTREAM + 'balance = "no_such:A"', 3, "upstreams.a.balance", '"no_such:A" cannot be imported: no_such:A: No module named \'no_such\'', ""),
        (UPSTREAM + 'balance = "gateway.errors:__doc__"', 3, "upstreams.a.balance", '"gateway.errors:__doc__" cannot be called with targets and options', ""),
        (UPSTREAM + 'balance = "p2c"\nbalance_options = { a = 1 }', 4, "upstreams.a.balance_options", 'has no effect with balance = "p2c"', "it is for balancers of others"),
        (UPSTREAM + 'hash_on = "path"', 3, "upstreams.a.hash_on", 'has no effect with balance = "round_robin"', 'write balance = "hash"'),
        (UPSTREAM + 'hash_slack = "25%"', 3, "upstreams.a.hash_slack", 'has no effect without balance = "hash"', "leave it out"),
        (UPSTREAM + 'balance = "hash"\nhash_slack = "0%"', 4, "upstreams.a.hash_slack", "must be more than 0", ""),
        (UPSTREAM + 'balance = "hash"\nhash_slack = 0.25', 4, "upstreams.a.hash_slack", "0.25 has no unit", 'write "0.25%"'),
        (UPSTREAM + 'balance = "hash"\nhash_on = "src"', 4, "upstreams.a.hash_on[0]", '"src" is nothing to hash', 'did you mean "client_ip"?'),
        (UPSTREAM + 'balance = "hash"\nhash_on = ["path", "header:"]', 4, "upstreams.a.hash_on[1]", '"" is not the name of a header field', 'did you mean "header:NAME"?'),
        (UPSTREAM + 'balance = "hash"\nhash_key = "path"', 4, "upstreams.a.hash_key", "unknown key", 'did you mean "hash_on"?'),
        ('[upstreams.a]\nbalance = "first"\ntargets = [{ url = "http://a", weight = 2 }]', 3, "upstreams.a.targets[0].weight", 'has no effect with balance = "first"', "leave it out"),
        (UPSTREAM + STICKY + "path = '/'", 3, "upstreams.a.sticky.cookie", "is missing", ""),
        (UPSTREAM + STICKY + "cookie = 'a b'", 4, "upstreams.a.sticky.cookie", '"a b" is not the name of a cookie', 'write for example "gw_srv"'),
        (UPSTREAM + STICKY + "cookie = 'a'\npath = 'x'", 5, "upstreams.a.sticky.path", '"x" is not the path of a cookie', 'write "/", or a path without ";"'),
        (UPSTREAM + STICKY + "cookie = 'a'\npath = '/;b'", 5, "upstreams.a.sticky.path", '"/;b" is not the path of a cookie', 'write "/", or a path without ";"'),
        (UPSTREAM + STICKY + "cookie = 'a'\ndomain = 'a:80'", 5, "upstreams.a.sticky.domain", '"a:80" is not a domain', 'write for example "example.com"'),
        (UPSTREAM + STICKY + "cookie = 'a'\ndomain = 'a;b'", 5, "upstreams.a.sticky.domain", '"a;b" is not a domain', 'write for example "example.com"'),
        (UPSTREAM + STICKY + "cookie = 'a'\nkeys = ['short']", 5, "upstreams.a.sticky.keys[0]", "is too short for a secret", "take 16 random characters or more"),
        (UPSTREAM + STICKY + "cookie = 'a'\nmax_age = '1500ms'", 5, "upstreams.a.sticky.max_age", '"1500ms" is not a whole number of seconds', ""),
        (UPSTREAM + STICKY + "cookie = 'a'\nsame_site = 'none'", 5, "upstreams.a.sticky.same_site", 'browsers take "none" with Secure alone', "add secure = true"),
        (UPSTREAM + STICKY + "cookie = 'a'\nsame_site = 'Lax'", 5, "upstreams.a.sticky.same_site", '"Lax" is none of the choices', 'did you mean "lax"?'),
        (UPSTREAM + STICKY + "cookie = '__Secure-a'", 4, "upstreams.a.sticky.cookie", 'browsers take "__Secure-a" with Secure alone', "add secure = true"),
        (UPSTREAM + STICKY + "cookie = '__Host-a'\nsecure = true\npath = '/a'", 6, "upstreams.a.sticky.path", 'browsers refuse "__Host-a" with a path of its own', "leave it out"),
        (UPSTREAM + STICKY + "cookie = '__Host-a'\nsecure = true\ndomain = 'a.b'", 6, "upstreams.a.sticky.domain", 'browsers refuse "__Host-a" with a domain of its own', "leave it out"),
        (UPSTREAM + STICKY + "cookie = 'a'\nhttponly = true", 5, "upstreams.a.sticky.httponly", "unknown key", 'did you mean "http_only"?'),
        (SPLIT + 'hash_on = "x"', 3, "routes[0].hash_on[0]", '"x" is nothing to hash', 'choose from "client_ip", "path", "header:NAME", "cookie:NAME", "query:NAME"'),
        (ROUTE + 'hash_on = "path"', 3, "routes[0].hash_on", "has no effect with upstream: it chooses among the shares of a split", "write it in [upstreams.NAME], or leave it out"),
        (ROUTE + 'sticky = { cookie = "a" }', 3, "routes[0].sticky", "has no effect with upstream: it chooses among the shares of a split", "write it in [upstreams.NAME], or leave it out"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_place(
    fault: Callable[..., Fault], text: str, line: int, key: str, message: str, hint: str
):
    found = fault(text)
    assert (found.line, found.key, found.message, found.hint) == (line, key, message, hint)


def test_a_host_cookie_may_say_the_path_that_it_has_anyway():
    sticky = parse(UPSTREAM + STICKY + 'cookie = "__Host-a"\nsecure = true\npath = "/"').upstreams["a"].sticky
    assert sticky is not None
    assert sticky.made().field(b"v", b"http")[1].endswith(b"; Path=/; HttpOnly; SameSite=Lax; Secure")


def test_balancers_of_others_may_use_keys_and_options():
    own = parse(UPSTREAM + 'balance = "examples.own_balancer:Nearest"\nbalance_options = { zone = "b" }\nhash_on = "path"')
    assert own.upstreams["a"].balance_options == {"zone": "b"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that has two balancers, one of them with a name that might be ours."""
    points = "\n".join(f"{name} = examples.own_balancer:Nearest" for name in ("acme-nearest", "nearest"))
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[{BALANCERS_GROUP}]\n{points}\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_balancers_that_are_installed_go_by_a_name_that_cannot_be_ours(fault: Callable[..., Fault]):
    assert parse(UPSTREAM + 'balance = "acme-nearest"').upstreams["a"].balance == "acme-nearest"
    assert fault(UPSTREAM + 'balance = "acme-nearist"').hint == 'did you mean "acme-nearest"?'
    assert fault(UPSTREAM + 'balance = "nearest"').message == '"nearest" is none of the choices'


def test_cookies_without_secrets_are_warned_of():
    config = parse(
        UPSTREAM + STICKY + 'cookie = "a"\n' + SPLIT + 'sticky = { cookie = "b" }\n'
        '[upstreams.b]\ntargets = ["http://a"]\nsticky = { cookie = "a", keys = ["0123456789abcdef"] }'
    )
    warned = [fault.key for fault in lint(config) if "can be guessed" in fault.message]
    assert warned == ["upstreams.a.sticky", "routes[0].sticky"]
