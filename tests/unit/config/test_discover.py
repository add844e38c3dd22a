"""`discover`: what can be written, and what each mistake is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import Config, Discover, TargetOptions, build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Fault

HEAD = "[upstreams.a]\n"
ROUTE = '[[routes]]\nupstream = "a"\n'


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "hint"),
    [
        ("", 1, "targets", "is missing", "list targets, or say by discover where they are found"),
        ("targets = []", 2, "targets", "is empty", ""),
        ('targets = ["http://a"]\ndiscover = { dns = "a.b" }', 3, "discover", "excludes targets", "leave one of them out"),
        ("discover = {}", 2, "discover", "says no way to find targets", "add one of dns, srv, file, custom"),
        ('discover = { dns = "a.b", srv = "a.b" }', 2, "discover.srv", "excludes dns: targets are found in one way", "leave one of them out"),
        ('discover = { srv = "a.b", port = 80 }', 2, "discover.port", "has no effect with srv", "leave it out"),
        ('discover = { dns = "a.b", options = {} }', 2, "discover.options", "has no effect with dns", "leave it out"),
        ('discover = { dns = "http://a.b" }', 2, "discover.dns", '"http://a.b" is a URL', "write the name alone"),
        ('discover = { dns = "a.b:80" }', 2, "discover.dns", '"a.b:80" has a port', 'write "a.b", and port = 80'),
        ('discover = { dns = "192.0.2.1" }', 2, "discover.dns", '"192.0.2.1" is an address', "list it in targets"),
        ('discover = { dns = "::1" }', 2, "discover.dns", '"::1" is an address', "list it in targets"),
        ('discover = { dns = "a..b" }', 2, "discover.dns", '"a..b" is not a name that DNS could know', ""),
        (f'discover = {{ dns = "{"a." * 130}" }}', 2, "discover.dns", "is not a name that DNS could know", ""),
        ('discover = { dns = "a.b", port = 0 }', 2, "discover.port", "must be at least 1", ""),
        ('discover = { dns = "a.b", port = 65536 }', 2, "discover.port", "must be at most 65535", ""),
        ('discover = { dns = "a.b", scheme = "ftp" }', 2, "discover.scheme", "none of the choices", ""),
        ('discover = { dns = "a.b", family = "ipv5" }', 2, "discover.family", "none of the choices", 'did you mean "ipv'),
        ('discover = { dns = "a.b", nameservers = "ns.test" }', 2, "discover.nameservers[0]", "is not the address of a name server", 'write "10.0.0.2"'),
        ('discover = { dns = "a.b", nameservers = ["[::1"] }', 2, "discover.nameservers[0]", "is not the address of a name server", ""),
        ('discover = { dns = "a.b", nameservers = ["10.0.0.1:99999"] }', 2, "discover.nameservers[0]", "is not the address of a name server", ""),
        ('discover = { dns = "a.b", refresh = 5 }', 2, "discover.refresh", "5 has no unit", 'write "5s"'),
        ('discover = { dns = "a.b", resolver = "10.0.0.2" }', 2, "discover.resolver", "unknown key", 'did you mean "nameservers"?'),
        ('discover = { dns = "a.b", ttl = "5s" }', 2, "discover.ttl", "unknown key", 'did you mean "refresh"?'),
        ('discover = { file = "gone.toml" }', 2, "discover.file", "does not exist", ""),
        ('discover = { custom = "nowhere" }', 2, "discover.custom", "cannot be imported", 'write "package.module:Class"'),
        ('discover = { custom = "nowhere.at:All" }', 2, "discover.custom", "cannot be imported", ""),
        ('discover = { custom = "json:__name__" }', 2, "discover.custom", "cannot be called with options", ""),
        ('discover = { dns = "a.b" }\ntls = { verify = false }', 3, "tls", "has no effect without https", 'write scheme = "https" in discover'),
        ('service_discovery = { dns = "a.b" }', 2, "service_discovery", "unknown key", 'did you mean "discover"?'),
    ],
)
def test_every_mistake_has_its_words(
    faults: Callable[..., list[Fault]], text: str, line: int, key: str, message: str, hint: str
):
    (fault,) = faults(HEAD + text + "\n" + ROUTE)
    assert (fault.line, fault.key.removeprefix("upstreams.a.")) == (line, key)
    assert message in fault.message
    assert hint in fault.hint


def test_a_file_with_a_mistake_is_told_with_its_own_place(tmp_path: Path, faults: Callable[..., list[Fault]]):
    path = tmp_path / "targets.toml"
    path.write_text('targets = [\n  "http://a",\n  "http://a",\n]')
    (fault,) = faults(f'{HEAD}discover = {{ file = "{path}" }}\n{ROUTE}')
    assert fault.key == "upstreams.a.discover.file"
    assert f'{path}:3: targets[1]: "http://a" is there twice' in fault.message


def test_a_file_of_another_kind_is_refused(tmp_path: Path, faults: Callable[..., list[Fault]]):
    path = tmp_path / "targets.yaml"
    path.touch()
    (fault,) = faults(f'{HEAD}discover = {{ file = "{path}" }}\n{ROUTE}')
    assert "is neither .toml nor .json" in fault.message


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("10.0.0.2", "10.0.0.2:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("::1", "[::1]:53"),
        ("[2001:db8::1]", "[2001:db8::1]:53"),
        ("[2001:DB8::1]:5353", "[2001:db8::1]:5353"),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(given: str, address: str):
    assert Discover.model_validate({"dns": "a.b", "nameservers": given}).nameservers == [address]


@pytest.mark.parametrize("name", ["a", "search.internal", "search.internal.", "_http._tcp.search.internal", "a_b.c-d", "x" * 63])
def test_names_are_those_of_dns(name: str):
    assert Discover.model_validate({"dns": name}).name == name


@pytest.mark.parametrize(("options", "seconds"), [({"dns": "a"}, 300), ({"srv": "a"}, 300), ({"dns": "a", "refresh": 7}, 7)])
def test_the_longest_time_between_two_looks_is_by_kind_or_as_written(options: dict[str, Any], seconds: float):
    assert Discover.model_validate(options).longest == seconds


@pytest.mark.parametrize(
    ("upstream", "host"),
    [
        ({"discover": {"dns": "a"}}, "preserve"),
        ({"discover": {"dns": "a", "scheme": "https"}}, "upstream"),
        ({"discover": {"srv": "a", "scheme": "https"}, "tls": {"verify": False}}, "upstream"),
        ({"discover": {"custom": "examples.own_discovery:FromEnvironment"}}, "preserve"),
        ({"discover": {"custom": "examples.own_discovery:FromEnvironment"}, "tls": {"verify": False}}, "upstream"),
    ],
)
def test_host_is_the_targets_own_where_targets_are_asked_by_https(upstream: dict[str, Any], host: str):
    config = build({"upstreams": {"a": upstream}, "routes": [{"upstream": "a"}]})
    assert config.host_header_for(config.upstreams["a"]) == host


def test_a_discover_made_in_code_is_the_same():
    config = Config.model_validate({"upstreams": {"a": {"discover": Discover(dns="a.b", scheme="https")}}})
    assert config.upstreams["a"].is_https
    assert Config.model_validate({"upstreams": {"a": {"targets": [TargetOptions(url="http://a")]}}}).upstreams["a"].discover is None
