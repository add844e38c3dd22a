"""What a configuration means: defaults, and what holds for a route."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config import (
    Compression,
    Config,
    RespondOptions,
    RouteOptions,
    Server,
    TargetOptions,
    Timeouts,
    UpstreamOptions,
    inline_upstream,
    parse,
)


def test_an_empty_configuration_has_the_documented_defaults():
    config = parse("", environ={})
    server = config.server
    assert server.listen == ["127.0.0.1:8080"]
    assert (server.workers, server.request_id, server.drain_timeout) == (1, "X-Request-ID", 30.0)
    assert server.limits.model_dump() == {
        "max_connections": 16384,
        "max_header_size": 32768,
        "max_headers": 100,
        "min_body_rate": 240,
        "max_target_size": 16384,
        "max_body": 10485760,
    }
    assert server.timeouts.model_dump() == {"header": 10.0, "body_idle": 30.0, "write_idle": 60.0, "keepalive": 75.0}
    assert config.defaults.timeouts.model_dump() == {
        "connect": 3.0,
        "pool": 5.0,
        "first_byte": 60.0,
        "read": 60.0,
        "write": 60.0,
        "stream_idle": 3600.0,
        "total": None,
    }
    assert (server.access, server.tls, server.https_port) == (None, None, None)
    assert (config.access_log.format, config.access_log.path, config.admin.path) == ("json", None, "/-")


def test_an_upstream_has_the_documented_defaults():
    upstream = inline_upstream("http://a")
    assert (upstream.balance, upstream.max_connections, upstream.max_pending) == ("round_robin", 200, 1000)
    assert (upstream.keepalive.connections, upstream.keepalive.timeout) == (64, 60.0)
    assert (upstream.targets[0].url, upstream.targets[0].weight) == ("http://a", 1)


def test_timeouts_are_inherited_one_by_one():
    config = parse(
        """
[defaults.timeouts]
connect = "1s"
read = "1s"
total = "1s"
[upstreams.a]
targets = ["http://a"]
timeouts = { read = "2s", write = "2s" }
[[routes]]
upstream = "a"
timeouts = { write = "3s", total = "none" }
""",
        environ={},
    )
    timeouts = config.timeouts_for(config.routes[0], config.upstreams["a"])
    assert (timeouts.connect, timeouts.read, timeouts.write, timeouts.total) == (1.0, 2.0, 3.0, None)
    assert timeouts.pool == 5.0


@pytest.mark.parametrize(
    ("default", "own", "min_size"),
    [
        ("false", "", None),
        ("true", "", 1024),
        ("true", "compression = false", None),
        ("false", "compression = true", 1024),
        ('{ min_size = "1B" }', "", 1),
        ('{ min_size = "1B" }', "compression = { types = ['text/*'] }", 1024),
    ],
)
def test_a_route_has_its_own_compression_or_the_default(default: str, own: str, min_size: int | None):
    config = parse(f"[defaults]\ncompression = {default}\n[[routes]]\nrespond = {{}}\n{own}", environ={})
    compression = config.compression_for(config.routes[0])
    assert (None if compression is None else compression.min_size) == min_size


@pytest.mark.parametrize(
    ("default", "own", "max_age"),
    [("false", "", None), ("true", "", 31536000), ("true", "hsts = false", None), ("{ max_age = '1d' }", "", 86400)],
)
def test_a_route_has_its_own_hsts_or_the_default(default: str, own: str, max_age: int | None):
    config = parse(f"[defaults]\nhsts = {default}\n[[routes]]\nrespond = {{}}\n{own}", environ={})
    hsts = config.hsts_for(config.routes[0])
    assert (None if hsts is None else hsts.max_age) == max_age


def test_a_route_has_its_own_body_limit_or_the_servers():
    config = parse(
        'server.limits.max_body = "5B"\n[[routes]]\nupstream = "http://a"\n[[routes]]\nupstream = "http://a"\nmax_body = "0B"',
        environ={},
    )
    assert [config.max_body_for(route) for route in config.routes] == [5, 0]


@pytest.mark.parametrize(
    ("url", "own", "said"),
    [
        ("http://a", None, "preserve"),
        ("https://a", None, "upstream"),
        ("https://a", "preserve", "preserve"),
        ("unix:/a", None, "preserve"),
        ("http://a", "b.example", "b.example"),
    ],
)
def test_the_host_is_kept_except_towards_https(url: str, own: str | None, said: str):
    upstream = UpstreamOptions(targets=[TargetOptions(url=url)], host_header=own)
    assert Config().host_header_for(upstream) == said


def test_urls_in_routes_are_upstreams_of_one_target():
    config = parse(
        """
[upstreams.a]
targets = ["http://a"]
[[routes]]
split = [{ upstream = "a" }, { upstream = "http://b/" , weight = 2 }]
[[routes]]
upstream = "http://b"
""",
        environ={},
    )
    assert list(config.all_upstreams()) == ["a", "http://b"]
    assert [(share.upstream, share.weight) for share in config.routes[0].shares] == [("a", 1), ("http://b", 2)]
    assert [share.upstream for share in config.routes[1].shares] == ["http://b"]


def test_a_route_that_answers_itself_has_no_shares():
    assert RouteOptions(respond=RespondOptions()).shares == []


def test_routes_without_a_name_are_named_by_position():
    config = Config(routes=[RouteOptions(upstream="http://a", name="x"), RouteOptions(upstream="http://a")])
    assert [route.name for route in config.routes] == ["x", "route-2"]


def test_hosts_are_compared_in_lowercase_and_without_the_root():
    assert RouteOptions.model_validate({"host": "API.example.com.", "respond": {}}).host == ["api.example.com"]


def test_a_redirect_to_https_names_the_port_of_the_second_listener(tmp_path):
    (tmp_path / "a.pem").write_text("")
    tls = {"cert": tmp_path / "a.pem", "key": tmp_path / "a.pem", "redirect_http": True}
    assert Server.model_validate({"listen": [":80", ":8443"], "tls": tls}).https_port == 8443
    assert Server.model_validate({"listen": [":80", ":8443"], "tls": tls | {"redirect_port": 443}}).https_port == 443


def test_clients_need_a_certificate_once_their_authority_is_named(tmp_path):
    (tmp_path / "a.pem").write_text("")
    tls = {"cert": "a.pem", "key": "a.pem", "client_ca": "a.pem"}
    text = f"[server.tls]\n{''.join(f'{key} = {value!r}' + chr(10) for key, value in tls.items())}"
    config = parse(text, str(tmp_path / "routes.toml"), {})
    assert config.server.tls is not None
    assert config.server.tls.clients_verified == "required"
    assert config.server.tls.cert == tmp_path / "a.pem"


def test_code_may_give_seconds_and_bytes_as_numbers():
    assert Timeouts(connect=0.5).connect == 0.5
    assert Compression(min_size=10).min_size == 10


def test_code_may_not_give_anything_else():
    with pytest.raises(ValidationError, match="a duration is wanted"):
        Timeouts.model_validate({"connect": None})


def test_a_configuration_can_be_dumped_and_read_again():
    text = (
        '[defaults.timeouts]\nread = "1s"\n[[routes]]\nupstream = "http://a"\ntimeouts = { total = "2s" }\nhsts = true'
    )
    config = parse(text, environ={})
    again = Config.model_validate(config.model_dump(exclude_unset=True))
    assert again == config
    upstream = again.all_upstreams()["http://a"]
    assert again.timeouts_for(again.routes[0], upstream) == config.timeouts_for(config.routes[0], upstream)


def test_two_files_that_say_the_same_are_equal():
    assert parse("server.workers = 2", "a", {}) == parse("# two\n[server]\nworkers = 2", "b", {})
    assert parse("server.workers = 2", "a", {}) != parse("server.workers = 3", "a", {})


def test_a_configuration_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Config().version = 1  # type: ignore[misc]


def test_models_are_checked_with_those_that_they_name():
    with pytest.raises(ValidationError, match="there is no upstream"):
        Config(routes=[RouteOptions(upstream="api")])
    config = Config(
        upstreams={"api": UpstreamOptions(targets=[TargetOptions(url="http://a")])},
        routes=[RouteOptions(upstream="api")],
    )
    assert config.routes[0].upstream == "api"


def test_where_a_key_stands_is_kept():
    config = parse('\n[[routes]]\nname = "a"\nrespond = {}', "x.toml", {})
    assert str(config.source.fault(("routes", 0, "name"), "is here")) == "x.toml:3: routes[0].name: is here"
