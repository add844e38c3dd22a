"""Each kind of fault: file, line, key, message and hint."""


from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, ConfigError, Fault, load, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUTE = '[[routes]]\nupstream = "http://a"\n'  # lines 1 and 2 of what follows
UPSTREAM = '[upstreams.a]\ntargets = ["http://a"]\n'


def test_a_fault_reads_as_one_line():
    fault = Fault("routes.toml", 12, 1, "routes[0].upstreem", "unknown key", 'did you mean "upstream"?')
    assert str(fault) == 'routes.toml:12: routes[0].upstreem: unknown key; did you mean "upstream"?'


def test_all_faults_of_all_sections_are_told_together_in_the_order_of_the_file(faults: Callable[..., list[Fault]]):
    found = faults("""\
versoin = 1
[server]
workers = 0
drain_timeout = 30
trusted_proxies = ["10.0.0.1/8"]
[upstreams.api]
targets = ["http://api:9000/v1", { url = "api:9000" }]
balance = "leastconn"
[[routes]]
name = "x"
proxy_pass = "http://a"
[[routes]]
name = "x"
upstream = "apii"
redirect = { to = "https://b/", status = 300 }
[access_log]
format = "jsonl"
""")
    assert [(fault.line, fault.key, fault.hint) for fault in found] == [
        (1, "versoin", 'did you mean "version"?'),
        (3, "server.workers", ""),
        (4, "server.drain_timeout", 'write "30s"'),
        (5, "server.trusted_proxies[0]", ""),
        (7, "upstreams.api.targets[0].url", 'use add_prefix = "/v1"'),
        (7, "upstreams.api.targets[1].url", 'write "http://api:9000"'),
        (8, "upstreams.api.balance", 'did you mean "least_conn"?'),
        (11, "routes[0].proxy_pass", 'did you mean "upstream"?'),
        (13, "routes[1].name", "names are unique"),
        (14, "routes[1].upstream", 'did you mean "api"?'),
        (15, "routes[1].redirect", "leave one of them out"),
        (15, "routes[1].redirect.status", ""),
        (17, "access_log.format", 'did you mean "json"?'),
    ]
    assert {fault.file for fault in found} == {"routes.toml"}


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "hint"),
    [
        # keys
        ("[serverr]", 1, "serverr", "unknown key", 'did you mean "server"?'),
        ("[server]\nlimits = { max_conn = 1 }", 2, "server.limits.max_conn", "unknown key", 'did you mean "max_connections"?'),
        (ROUTE + 'lb_policy = "first"', 3, "routes[0].lb_policy", "unknown key", "the keys here are name, host, path"),
        (ROUTE + 'stripPrefix = "/a"', 3, "routes[0].stripPrefix", "unknown key", 'did you mean "strip_prefix"?'),
        ("[server]\nclient_max_body_size = 1", 2, "server.client_max_body_size", "unknown key", 'did you mean "max_body" in [server.limits]?'),
        ("[[route]]", 1, "route", "unknown key", 'did you mean "routes"?'),
        (UPSTREAM + 'lb_policy = "x"', 3, "upstreams.a.lb_policy", "unknown key", 'did you mean "balance"?'),
        ('[upstreams.a]\nserver = "x"', 2, "upstreams.a.server", "unknown key", 'did you mean "targets"?'),
        # types
        ('[server]\nworkers = "2"', 2, "server.workers", 'a whole number is wanted, not the text "2"', "write 2 without quotes"),
        ("[server]\nworkers = 2.5", 2, "server.workers", "a whole number is wanted, not the number 2.5", ""),
        ("[server]\nworkers = true", 2, "server.workers", "a whole number is wanted, not true", ""),
        ("[server]\nrequest_id = 5", 2, "server.request_id", "a text in quotes is wanted, not the number 5", 'write "5"'),
        ('[server]\ntrusted_proxies = "10.0.0.0/8"', 2, "server.trusted_proxies", 'a list is wanted, not the text "10.0.0.0/8"', 'write ["10.0.0.0/8"]'),
        ("[server]\nlimits = 5", 2, "server.limits", "a table is wanted, not the number 5", ""),
        ("[routes]", 1, "routes", "a list is wanted, not a table", "write [[routes]]"),
        ("routes = [5]", 1, "routes[0]", "a table is wanted, not the number 5", ""),
        ("upstreams = []", 1, "upstreams", "a table is wanted, not a list", ""),
        ("version = 2", 1, "version", "the number 2 is none of the choices", "choose from 1"),
        ('[upstreams.a]\ntargets = ["https://a"]\ntls = { verify = "false" }', 3, "upstreams.a.tls.verify", 'true or false is wanted, not the text "false"', "write false without quotes"),
        ('[defaults]\ncompression = "gzip"', 2, "defaults.compression", 'a table, true or false is wanted, not the text "gzip"', ""),
        ('[admin]\npath = true', 2, "admin.path", "a path or false is wanted, not true", ""),
        # values
        ("[server]\nworkers = 0", 2, "server.workers", "must be at least 1", ""),
        ('[server]\ntimeouts = { header = "0s" }', 2, "server.timeouts.header", "must be more than 0", ""),
        ("[server]\ntimeouts = { header = 10 }", 2, "server.timeouts.header", "10 has no unit", 'write "10s"'),
        ("[server]\nlimits = { max_body = 10 }", 2, "server.limits.max_body", "10 has no unit", 'write "10B"'),
        ("[server]\nlimits = { max_body = [] }", 2, "server.limits.max_body", "a size is wanted, not a list", 'write for example "10B"'),
        ('[server]\nlimits = { max_body = "10m" }', 2, "server.limits.max_body", '"10m" is not a size', 'write "10MiB" (1024s) or "10MB" (1000s)'),
        ('[server]\nlisten = []', 2, "server.listen", "is empty", ""),
        ('[server]\nlisten = ["8080"]', 2, "server.listen[0]", '"8080" is not an address', 'write ":8080" for all interfaces'),
        ('[server]\nlisten = "http://:80"', 2, "server.listen[0]", '"http://:80" is a URL', "HTTPS comes by tls"),
        ('[server]\nlisten = ["a:1", "a:1"]', 2, "server.listen[1]", '"a:1" is there twice', ""),
        ('[server]\nrequest_id = "X Y"', 2, "server.request_id", '"X Y" is not a header field name', ""),
        ('[server]\ntrusted_proxies = ["10.0.0"]', 2, "server.trusted_proxies[0]", '"10.0.0" is not an IP address or a network', ""),
        ('[server]\naccess = { allow = ["a"] }', 2, "server.access.allow[0]", '"a" is not an IP address or a network', ""),
        ('[server]\naccess = { allow = [] }', 2, "server.access.allow", "an empty list would let everybody in", "leave it out"),
        ('[server]\naccess = {}', 2, "server.access", "is empty", "give allow, deny or both"),
        ('[access_log]\nformat = "clf"', 2, "access_log.format", '"clf" is none of the choices', 'did you mean "combined"?'),
        ('[access_log]\nformat = "xml"', 2, "access_log.format", '"xml" is none of the choices', 'choose from "json", "combined", "off"'),
        ('[access_log]\nformat = "off"\npath = "x"', 3, "access_log.path", 'has no effect with format = "off"', "leave it out"),
        ('[access_log]\npath = "/nowhere/at/all"', 2, "access_log.path", '"/nowhere/at", where the file would lie, does not exist', ""),
        ("[access_log]\npath = 5", 2, "access_log.path", "a path in quotes is wanted, not the number 5", ""),
        ('[access_log]\npath = "/"', 2, "access_log.path", '"/" is a directory', "name a file in it"),
        ('[admin]\npath = "/"', 2, "admin.path", '"/" is not a path for the gateway alone', 'write for example "/-"'),
        ('[admin]\npath = "/{a}"', 2, "admin.path", '"/{a}" is not a plain path', ""),
        # defaults
        ('[defaults.compression]\ntypes = ["text"]', 2, "defaults.compression.types[0]", '"text" is not a media type', ""),
        ('[defaults.compression]\nencodings = ["lzma"]', 2, "defaults.compression.encodings[0]", '"lzma" is not a content coding', ""),
        ('[defaults.compression]\nencodings = []', 2, "defaults.compression.encodings", "encodings is empty", ""),
        ('[defaults.compression]\nlevels = { gzip = 10 }', 2, "defaults.compression.levels.gzip", "gzip has the levels", ""),
        ('[defaults.compression]\nencodings = ["gzip"]\nlevels = { br = 1 }', 3, "defaults.compression.levels.br", 'a level is given for "br"', ""),
        ('[defaults.compression]\ngzip_min_length = 5', 2, "defaults.compression.gzip_min_length", "unknown key", "min_size"),
        ('[defaults]\nhsts = { preload = true }', 2, "defaults.hsts.preload", "the lists take whole domains only", "add include_subdomains = true"),
        ('[defaults]\nhsts = { max_age = "1500ms" }', 2, "defaults.hsts.max_age", '"1500ms" is not a whole number of seconds', ""),
        # upstreams
        ("[upstreams.a]", 1, "upstreams.a.targets", "is missing", ""),
        ("[upstreams.a]\ntargets = []", 2, "upstreams.a.targets", "is empty", ""),
        ('[upstreams.a]\ntargets = [{ weight = 2 }]', 2, "upstreams.a.targets[0].url", "is missing", ""),
        ('[upstreams.a]\ntargets = [{ url = "http://a", weight = 0 }]', 2, "upstreams.a.targets[0].weight", "must be at least 1", ""),
        ('[upstreams.a]\ntargets = [{ url = "http://a", weight = 1001 }]', 2, "upstreams.a.targets[0].weight", "must be at most 1000", ""),
        ('[upstreams.a]\ntargets = ["http://a", "http://a"]', 2, "upstreams.a.targets[1]", '"http://a" is there twice', "give it a weight instead"),
        ('[upstreams.a]\ntargets = ["http://a", "asgi://m:a"]', 2, "upstreams.a.targets", "asgi:// apps and servers cannot share an upstream", ""),
        ('[upstreams.a]\ntargets = ["asgi://m:a"]\nmax_pending = 1', 3, "upstreams.a.max_pending", "has no effect for asgi:// apps", ""),
        (UPSTREAM + "tls = { verify = true }", 3, "upstreams.a.tls", "has no effect without an https:// target", ""),
        ('[upstreams.a]\ntargets = ["https://a"]\ntls = { ca = "/nowhere.pem" }', 3, "upstreams.a.tls.ca", '"/nowhere.pem" does not exist', ""),
        ('[upstreams.a]\ntargets = ["https://a"]\ntls = { ca = "/tmp" }', 3, "upstreams.a.tls.ca", '"/tmp" is not a file', ""),
        ('[upstreams."a b"]\ntargets = ["http://a"]', 1, "upstreams.a b", '"a b" is not a name', "names are of letters, digits, _ . and -"),
        # routes
        ("[[routes]]", 1, "routes[0]", "the route does nothing", "add one of upstream, split, redirect, respond"),
        (ROUTE + "split = [{ upstream = 'http://b' }]", 3, "routes[0].split", "excludes upstream", "leave one of them out"),
        (ROUTE + 'path = "/a"\npath_regex = "/a"', 4, "routes[0].path_regex", "excludes path", ""),
        (ROUTE + 'rewrite = "/a"\nstrip_prefix = "/a"', 4, "routes[0].strip_prefix", "excludes rewrite", ""),
        (ROUTE + 'path = "a"', 3, "routes[0].path", '"a" does not begin with "/"', 'write "/a"'),
        (ROUTE + 'path = "/a*"', 3, "routes[0].path", '"/a*" has a "*" within a segment', 'write "/a/*", or use path_regex'),
        (ROUTE + 'path = "/*/a"', 3, "routes[0].path", '"/*/a"', ""),
        (ROUTE + 'path = "/{a}/{a}"', 3, "routes[0].path", '"/{a}/{a}" is not a path', ""),
        (ROUTE + 'path = "/{host}"', 3, "routes[0].path", "{host} means something else in every text", "choose another name"),
        (ROUTE + 'path = "/a?b"', 3, "routes[0].path", '"/a?b" has a query or fragment', "query ="),
        (ROUTE + 'path = "/a%20b"', 3, "routes[0].path", '"/a%20b" is percent-encoded', "write it decoded"),
        (ROUTE + 'path = "/a/../b"', 3, "routes[0].path", '"/a/../b" can match nothing', ""),
        (ROUTE + 'path = "http://a/b"', 3, "routes[0].path", '"http://a/b" is not a path', "the host is matched by host"),
        (ROUTE + 'path_regex = "/(a"', 3, "routes[0].path_regex", '"/(a" is not a regular expression', ""),
        (ROUTE + 'host = "a:80"', 3, "routes[0].host[0]", '"a:80" has a port', 'routes match any port: write "a"'),
        (ROUTE + 'host = "https://a"', 3, "routes[0].host[0]", '"https://a" is not a host name', 'write the name alone: "example.com"'),
        (ROUTE + 'host = ["*"]', 3, "routes[0].host[0]", "a route without host takes every host", "leave host out"),
        (ROUTE + 'host = ["a.*.b"]', 3, "routes[0].host[0]", '"a.*.b" has a "*" in the wrong place', "*.example.com"),
        (ROUTE + 'host = ["bücher.example"]', 3, "routes[0].host[0]", '"bücher.example" is not ASCII', 'write "xn--bcher-kva.example"'),
        (ROUTE + 'host = ["a b"]', 3, "routes[0].host[0]", '"a b" is not a host name', ""),
        (ROUTE + 'methods = ["get"]', 3, "routes[0].methods[0]", '"get" is not a method: methods are case-sensitive', 'write "GET"'),
        (ROUTE + 'methods = ["G T"]', 3, "routes[0].methods[0]", '"G T" is not a method', ""),
        (ROUTE + 'headers = { "X Y" = "1" }', 3, "routes[0].headers.X Y", '"X Y" is not a header field name', ""),
        (ROUTE + 'headers = { X = "re:(" }', 3, "routes[0].headers.X", '"(" is not a regular expression', ""),
        (ROUTE + 'query = { x = "re:[" }', 3, "routes[0].query.x", '"[" is not a regular expression', ""),
        (ROUTE + 'name = "a b"', 3, "routes[0].name", '"a b" is not a name', ""),
        (ROUTE + 'strip_prefix = "a"', 3, "routes[0].strip_prefix", '"a" does not begin with "/"', 'write "/a"'),
        (ROUTE + 'strip_prefix = "/a/*"', 3, "routes[0].strip_prefix", '"/a/*" is a pattern', "write a plain prefix"),
        (ROUTE + 'add_prefix = "/"', 3, "routes[0].add_prefix", '"/" changes nothing', "leave it out"),
        (ROUTE + 'add_prefix = "/a?b"', 3, "routes[0].add_prefix", '"/a?b" has a query or fragment', ""),
        (ROUTE + 'rewrite = "a"', 3, "routes[0].rewrite", '"a" does not begin with "/"', 'write "/a"'),
        (ROUTE + 'rewrite = "/a b"', 3, "routes[0].rewrite", '"/a b" has a character that no path may hold', "percent-encode it"),
        (ROUTE + 'path = "/{a}"\nrewrite = "/{b}"', 4, "routes[0].rewrite", "{b} is not captured by the route's path", "it captures {a}"),
        (ROUTE + 'path = "/a"\nrewrite = "/{path}"', 4, "routes[0].rewrite", "{path} is not captured by the route's path", "it captures nothing"),
        (ROUTE + 'request_headers = { set = { Host = "a" } }', 3, "routes[0].request_headers.set.Host", '"Host" is chosen by host_header', ""),
        (ROUTE + 'request_headers = { add = { A = "{b}" } }', 3, "routes[0].request_headers.add.A", "{b} is not a placeholder", ""),
        (ROUTE + 'response_headers = { remove = ["A", "Connection"] }', 3, "routes[0].response_headers.remove[1]", '"Connection" frames the message', ""),
        (ROUTE + 'response_headers = { set = { a = "1" }, remove = ["A"] }', 3, "routes[0].response_headers.remove[0]", '"A" is both set and removed', ""),
        (ROUTE + "response_headers = {}", 3, "routes[0].response_headers", "is empty", "give set, add or remove"),
        ('[[routes]]\nupstream = "a"', 2, "routes[0].upstream", 'there is no upstream "a"', "declare [upstreams.a], or write a URL"),
        ('[[routes]]\nupstream = "a:80"', 2, "routes[0].upstream", '"a:80" is neither the name of an upstream nor a URL', 'write "http://a:80"'),
        (UPSTREAM + '[[routes]]\nsplit = [{ upstream = "a" }, { upstream = "b" }]', 4, "routes[0].split[1].upstream", 'there is no upstream "b"', 'there are "a"'),
        ('[[routes]]\nsplit = [{ weight = 1 }]', 2, "routes[0].split[0].upstream", "is missing", ""),
        ('[[routes]]\nredirect = { to = "a" }', 2, "routes[0].redirect.to", '"a" is not a path', ""),
        ('[[routes]]\nredirect = { to = "/{a}" }', 2, "routes[0].redirect.to", "{a} is not captured by the route's path", "it captures {path}"),
        ('[[routes]]\nredirect = { to = "/" }\ntimeouts = { read = "1s" }', 3, "routes[0].timeouts", "has no effect with redirect", "leave it out"),
        ('[[routes]]\nrespond = { status = 100 }', 2, "routes[0].respond.status", "a fixed answer has a status from 200 to 599", ""),
        ('[[routes]]\nrespond = { status = 204, body = "a" }', 2, "routes[0].respond.status", "a 204 has no body", ""),
        ('[[routes]]\nrespond = { headers = { "A B" = "a" } }', 2, "routes[0].respond.headers.A B", '"A B" is not a header field name', ""),
        ('[[routes]]\nrespond = {}\nstrip_prefix = "/a"', 3, "routes[0].strip_prefix", "has no effect with respond", ""),
        (ROUTE + '[[routes]]\nname = "route-1"\nupstream = "http://b"', 4, "routes[1].name", '"route-1" is the name of an earlier route', ""),
        (ROUTE + 'timeouts = { total = "never" }', 3, "routes[0].timeouts.total", '"never" is not a duration', ""),
        (ROUTE + 'host_header = ""', 3, "routes[0].host_header", '"" is not a host', 'write "preserve", "upstream" or a host'),
        (UPSTREAM + 'host_header = "{host}"', 3, "upstreams.a.host_header", '"{host}" is not a host', 'write "preserve", "upstream" or a host'),
        (ROUTE + 'methods = ["*"]', 3, "routes[0].methods[0]", "a route without methods takes every method", "leave methods out"),
        (ROUTE + 'host = ["xn--' + "ü" * 70 + '"]', 3, "routes[0].host[0]", '"xn--', "write its xn-- form"),

    ],
)  # fmt: skip
def test_a_fault_tells_line_key_and_what_to_write(
    fault: Callable[..., Fault], text: str, line: int, key: str, message: str, hint: str
):
    found = fault(text)
    assert (found.file, found.line, found.key) == ("routes.toml", line, key)
    assert found.message.startswith(message)
    assert hint in found.hint


def test_the_column_is_that_of_the_key(fault: Callable[..., Fault]):
    found = fault('[server]\nlimits = { max_headers = 10, max_body = "x" }')
    assert (found.line, found.column) == (2, 30)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("[server\nworkers = 1", 1, 8, "is not TOML: expected ']' at the end of a table declaration"),
        ("a = 1\na = 2", 2, 6, "is not TOML: cannot overwrite a value"),
        ("[server]\nrequest_id = X-Id", 2, 14, "is not TOML: invalid value"),
        ('a = "', 1, 6, "is not TOML: unterminated string"),
    ],
)
def test_a_syntax_error_has_its_place(fault: Callable[..., Fault], text: str, line: int, column: int, message: str):
    found = fault(text)
    assert (found.file, found.line, found.column, found.key) == ("routes.toml", line, column, "")
    assert found.message == message


def test_a_file_that_is_not_there_is_a_fault_of_its_own(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.toml")
    assert caught.value.faults == [
        Fault(f"{tmp_path}/routes.toml", 0, 0, "", "cannot be read: No such file or directory", "-c FILE or GATEWAY_CONFIG names another one")
    ]  # fmt: skip


def test_a_file_that_is_not_text_is_a_fault_of_its_own(tmp_path: Path):
    (tmp_path / "routes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 5"):
        load(tmp_path / "routes.toml")


def test_the_fault_of_a_file_names_it(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("x = 1")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:1: x: unknown key; the keys here are version, server")


def test_a_configuration_built_in_code_is_checked_alike():
    with pytest.raises(ValueError, match=r"there is no upstream .*api") as caught:
        Config.model_validate({"routes": [{"upstream": "api"}, {"upstream": "http://a", "pth": "/"}]})
    assert "routes.1.pth" in str(caught.value)


def test_the_certificates_of_the_server_must_exist(tmp_path: Path):
    (tmp_path / "a.pem").write_text("")
    text = '[server]\nlisten = [":443"]\n[server.tls]\ncert = "a.pem"\nkey = "b.pem"\nclient_auth = "optional"\nredirect_port = 1\n'
    with pytest.raises(ConfigError) as caught:
        parse(text, str(tmp_path / "routes.toml"), {})
    assert [(fault.line, fault.key, fault.message) for fault in caught.value.faults] == [
        (5, "server.tls.key", f'"{tmp_path}/b.pem" does not exist'),
        (6, "server.tls.client_auth", "has no effect without client_ca"),
        (7, "server.tls.redirect_port", "has no effect without redirect_http"),
    ]


def test_a_redirect_to_https_needs_two_listeners_and_a_port(faults: Callable[..., list[Fault]]):
    tls = "[server.tls]\nredirect_http = true\n"
    one = faults('[server]\nlisten = [":80"]\n' + tls)
    assert (one[-1].line, one[-1].hint) == (4, 'for example listen = [":80", ":443"]')
    unix = faults('[server]\nlisten = [":80", "unix:/run/a.sock"]\n' + tls)
    assert unix[-1].hint == "add redirect_port = 443"


def test_the_tls_keys_of_an_upstream_need_each_other(tmp_path: Path):
    for name in ("ca.pem", "key.pem"):
        (tmp_path / name).touch()
    text = '[upstreams.a]\ntargets = ["https://a"]\n[upstreams.a.tls]\nca = "ca.pem"\nverify = false\nclient_key = "key.pem"'
    with pytest.raises(ConfigError) as caught:
        parse(text, str(tmp_path / "routes.toml"), {})
    assert [str(fault).removeprefix(str(tmp_path)) for fault in caught.value.faults] == [
        "/routes.toml:4: upstreams.a.tls.ca: has no effect with verify = false; leave one of them out",
        "/routes.toml:6: upstreams.a.tls.client_key: has no effect without client_cert; add client_cert",
    ]


def test_numbers_and_switches_from_variables_are_checked_like_others(faults: Callable[..., list[Fault]]):
    found = faults(
        """
[[routes]]
redirect = { to = "/", status = "${S}" }
[[routes]]
respond = { status = "${S}" }
compression = { levels = { gzip = "${S}" } }
hsts = { preload = "${P}" }
""",
        S="700",
        P="true",
    )
    assert [fault.key for fault in found] == [
        "routes[0].redirect.status",
        "routes[1].respond.status",
        "routes[1].compression.levels.gzip",
        "routes[1].hsts.preload",
    ]


def test_one_mistake_is_one_fault(fault: Callable[..., Fault]):
    assert fault('[[routes]]\nrespond = { status = "200" }').hint == "write 200 without quotes"
    assert fault('[defaults.compression]\nlevels = { gzip = "5" }').hint == "write 5 without quotes"
    assert fault("[defaults.compression]\nencodings = [5]\nlevels = { gzip = 99 }").line == 2
    assert fault('[defaults.compression]\nencodings = ["x"]\nlevels = { gzip = 99 }').line == 2
    assert fault("[[routes]]\nrespond = { headers = { a = 5 } }").key == "routes[0].respond.headers.a"
    assert fault("[[routes]]\nrespond = {}\nresponse_headers = { set = { a = 5 }, remove = ['b'] }").line == 3
    assert fault("[[routes]]\nredirect = { to = 5 }").key == "routes[0].redirect.to"
