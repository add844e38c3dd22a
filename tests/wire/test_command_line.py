"""`gateway` as people call it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from gateway.cli import main
from support.client import get
from support.origin import origin, respond
from support.process import finished, free_port, refuses, running
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 20.0
OK, BAD, WRONG_CALL, NOT_STARTED = 0, 1, 2, 3


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def routes_for(url: str, listen: str = "127.0.0.1:0", more: str = "") -> str:
    return f'[server]\nlisten = "{listen}"\n{more}\n[access_log]\nformat = "off"\n[[routes]]\nupstream = "{url}"\n'


# ---------------------------------------------------------------- what needs no server


def test_the_version_is_told():
    assert finished("gateway", "--version") == (OK, f"gateway {version('gateway')}\n", "")


def test_without_a_command_the_call_is_wrong(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == WRONG_CALL
    assert "COMMAND" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == OK
    assert "gateway proxy :9000" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "proxy", "check", "schema", "status", "reload", "drain", "enable"])
def test_each_command_has_help(capsys: pytest.CaptureFixture[str], command: str):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == OK
    assert capsys.readouterr().out.startswith(f"usage: gateway {command}")


def test_python_m_gateway_is_the_same():
    code, out, _ = finished("python", "-m", "gateway", "--version")
    assert (code, out) == (OK, f"gateway {version('gateway')}\n")


def test_the_schema_is_json():
    code, out, err = finished("gateway", "schema")
    assert (code, err) == (OK, "")
    assert json.loads(out)["properties"]["routes"]


def test_a_reader_that_goes_away_is_no_fault():
    """As in `gateway schema | head -1`."""
    with running("python", "-c", "import sys, subprocess; p = subprocess.Popen(['gateway', 'schema'], stdout=subprocess.PIPE,"
                 " stderr=subprocess.PIPE); p.stdout.close(); print(p.stderr.read().decode(), p.wait())",
                 env={"PATH": os.path.dirname(os.sys.executable)}) as process:  # type: ignore[attr-defined]  # fmt: skip
        assert process.ended() == OK
    assert "Traceback" not in process.output
    assert "Exception" not in process.output


# ---------------------------------------------------------------- check


def test_check_tells_what_a_good_file_holds(tmp_path: Path):
    put(tmp_path / "routes.toml", routes_for("http://127.0.0.1:9000"))
    assert finished("gateway", "check", cwd=tmp_path) == (OK, "routes.toml: ok (1 route, 1 upstream)\n", "")


def test_check_takes_the_file_from_the_option_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = put(tmp_path / "other.toml", routes_for("http://127.0.0.1:9000"))
    monkeypatch.setenv("GATEWAY_CONFIG", str(path))
    assert main(["check"]) == OK
    monkeypatch.delenv("GATEWAY_CONFIG")
    assert main(["check", "-c", str(path)]) == OK
    assert main(["validate", "--config", str(path)]) == OK


def test_check_tells_all_faults_at_once_with_their_lines(tmp_path: Path):
    text = '[server]\ndrain_timeout = 30\n[[routes]]\nproxy_pass = "http://x"\n[[routes]]\npath = "nowhere"\nupstream = "api"\n'
    put(tmp_path / "routes.toml", text)
    code, out, err = finished("gateway", "check", cwd=tmp_path)
    assert (code, out) == (BAD, "")
    assert 'routes.toml:2: server.drain_timeout: 30 has no unit; write "30s"' in err
    assert 'routes.toml:4: routes[0].proxy_pass: unknown key; did you mean "upstream"?' in err
    assert "routes.toml:6: routes[1].path:" in err
    assert "routes.toml:7: routes[1].upstream:" in err
    assert "Traceback" not in err


def test_check_counts_the_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = put(tmp_path / "routes.toml", "[server]\ndrain_timeout = 30\nworkers = 0\n")
    assert main(["check", "-c", str(path)]) == BAD
    assert capsys.readouterr().err.splitlines()[-1] == "2 faults: the configuration cannot be used"


def test_check_tells_what_is_no_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = put(tmp_path / "routes.toml", "[server\n")
    assert main(["check", "-c", str(path)]) == BAD
    assert capsys.readouterr().err.startswith(f"{path}:1: is not TOML")


def test_warnings_of_a_usable_file_are_told_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = put(tmp_path / "routes.toml", '[[routes]]\nupstream = "http://a"\n[[routes]]\npath = "/x"\nupstream = "http://b"\n')
    assert main(["check", "-c", str(path)]) == OK
    out, err = capsys.readouterr()
    assert "ok" in out
    assert err.startswith("warning: ")


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    code, out, err = finished("gateway", "run", cwd=tmp_path)
    assert (code, out) == (BAD, "")
    assert len(err.splitlines()) == 1
    assert "routes.toml" in err
    assert "No such file" in err
    assert "-c FILE" in err


# ---------------------------------------------------------------- proxy


def test_proxy_forwards_to_a_port_and_says_so():
    with origin(respond(200, b"here")) as server:
        with running("gateway", "proxy", f":{server.port}", "--from", "127.0.0.1:0") as process:
            assert get(process.port(), "/x?y").body == b"here"
            told = json.loads(process.wait_for('"listening"'))
            assert (told["scheme"], told["forwards_to"]) == ("http", server.url)
            assert process.stop() == OK
    assert server.requests[0].target == b"/x?y"
    assert server.requests[0].get("x-forwarded-for") == b"127.0.0.1"


def test_proxy_passes_websockets():
    with websocket_target() as target, running("gateway", "proxy", f"{target.port}", "--from", "127.0.0.1:0") as process:
        with opened(process.port()) as client:
            client.send("hello")
            assert client.recv(PATIENCE) == "hello"


def test_proxy_balances_over_several_targets():
    with origin(respond(200, b"one")) as one, origin(respond(200, b"two")) as two:
        targets = ("--to", f":{one.port}", "--to", f"localhost:{two.port}")
        with running("gateway", "proxy", "--from", "127.0.0.1:0", *targets) as process:
            port = process.port()
            assert sorted(get(port).body for _ in range(4)) == [b"one", b"one", b"two", b"two"]


def test_proxy_serves_a_unix_socket(tmp_path: Path):
    path = tmp_path / "in.sock"
    with origin(respond(200, b"here")) as server:
        with running("gateway", "proxy", server.url, "--from", f"unix:{path}") as process:
            process.wait_for('"listening"')
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://test") as client:
                assert client.get("/").text == "here"
            assert process.stop() == OK


def test_proxy_serves_a_local_app_of_the_working_directory(tmp_path: Path):
    put(tmp_path / "shop.py", "from starlette.applications import Starlette\nfrom starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\napp = Starlette(routes=[Route('/', lambda r: PlainTextResponse('local'))])\n")  # fmt: skip
    with running("gateway", "proxy", "asgi://shop:app", "--from", "127.0.0.1:0", cwd=tmp_path) as process:
        assert get(process.port()).body == b"local"


def test_proxy_with_tls_dev_is_trusted_through_its_own_authority(tmp_path: Path):
    with origin(respond(200, b"here")) as server:
        command = ("gateway", "proxy", f":{server.port}", "--from", "127.0.0.1:0", "--tls", "dev")
        with running(*command, env={"XDG_DATA_HOME": str(tmp_path)}) as process:
            port = process.port()
            authority = tmp_path / "gateway" / "ca.pem"
            context = ssl.create_default_context(cafile=str(authority))
            assert httpx.get(f"https://localhost:{port}/", verify=context, trust_env=False).text == "here"
            assert httpx.get(f"https://127.0.0.1:{port}/", verify=context, trust_env=False).text == "here"
            assert str(authority) in process.output
            assert process.stop() == OK
        first = authority.read_bytes()
        with running(*command, env={"XDG_DATA_HOME": str(tmp_path)}) as process:
            assert httpx.get(f"https://localhost:{process.port()}/", verify=context, trust_env=False).text == "here"
    assert authority.read_bytes() == first
    assert server.requests[0].get("x-forwarded-proto") == b"https"


def test_proxy_takes_a_certificate_of_ones_own(tmp_path: Path):
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with origin(respond(200, b"here")) as server:
        with running("gateway", "proxy", server.url, "--from", "127.0.0.1:0", "--tls", f"{cert},{key}") as process:
            assert httpx.get(f"https://localhost:{process.port()}/", verify=context, trust_env=False).text == "here"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a target"),
        (("http://x:99999",), "http://x:99999"),
        (("ftp://x",), '"ftp" is no scheme'),
        ((":9", "--from", "nonsense"), "nonsense"),
        ((":9", "--balance", "leastconn"), 'did you mean "least_conn"?'),
        ((":9", "--tls", "nothing"), "--tls is 'dev' or CERT,KEY"),
        ((":9", "--tls", "/no/cert.pem,/no/key.pem"), "/no/cert.pem"),
    ],
)
def test_what_proxy_cannot_do_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
):
    assert main(["proxy", *arguments]) in (BAD, WRONG_CALL)
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert "validation error" not in err
    assert all(line.startswith("gateway") for line in err.splitlines()), err


def test_an_address_of_another_machine_is_one_sentence():
    code, out, err = finished("gateway", "proxy", ":9", "--from", "192.0.2.1:8080")
    assert (code, out) == (BAD, "")
    assert err == "gateway: 192.0.2.1:8080: no interface of this machine has this address\n"


# ---------------------------------------------------------------- run


@pytest.mark.parametrize("workers", [1, 2])
def test_run_serves_and_stops_with_exit_code_0(tmp_path: Path, workers: int):
    with origin(respond(200, b"here")) as server:
        path = put(tmp_path / "routes.toml", routes_for(server.url, more=f"workers = {workers}"))
        with running("gateway", "run", "-c", path) as process:
            port = process.port()
            for _ in range(20):
                assert get(port).body == b"here"
            process.wait_for("Application startup complete", workers)
            assert process.stop() == OK
    assert refuses(port)
    assert "Traceback" not in process.output
    assert process.events().count("Application startup complete.") == workers


def test_run_listens_at_several_addresses(tmp_path: Path):
    sock = tmp_path / "in.sock"
    with origin(respond(200, b"here")) as server:
        text = routes_for(server.url).replace('"127.0.0.1:0"', f'["127.0.0.1:0", "[::1]:0", "unix:{sock}"]')
        with running("gateway", "run", "-c", put(tmp_path / "routes.toml", text)) as process:
            assert get(process.port(1)).body == b"here"
            six = process.port(2)
            with socket.create_connection(("::1", six), PATIENCE) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
                assert b"here" in connection.makefile("rb").read()
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(sock)), base_url="http://test") as client:
                assert client.get("/").text == "here"


def test_run_reads_what_the_environment_overrides(tmp_path: Path):
    put(tmp_path / "routes.toml", routes_for("http://127.0.0.1:1", "192.0.2.1:1"))
    with origin(respond(200, b"here")) as server:
        variables = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY__ROUTES__0__UPSTREAM": server.url}
        with running("gateway", "run", cwd=tmp_path, env=variables) as process:
            assert get(process.port()).body == b"here"


def test_run_writes_the_access_log(tmp_path: Path):
    text = '[server]\nlisten = "127.0.0.1:0"\n[access_log]\nformat = "json"\n[[routes]]\nname = "fixed"\nrespond = { body = "x" }\n'
    with running("gateway", "run", "-c", put(tmp_path / "routes.toml", text)) as process:
        get(process.port(), "/seen")
        process.stop()
    lines = [json.loads(line) for line in process.lines if '"/seen"' in line]
    assert [(line["status"], line["route"]) for line in lines] == [(200, "fixed")]


def test_a_port_in_use_is_one_sentence(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = put(tmp_path / "routes.toml", routes_for("http://127.0.0.1:9", address, "workers = 2"))
        code, out, err = finished("gateway", "run", "-c", path)
    assert (code, out) == (BAD, "")
    assert err == f"gateway: {address}: the address is in use; another process listens there\n"


def test_a_bad_configuration_is_told_as_check_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = put(tmp_path / "routes.toml", "[server]\ndrain_timeout = 30\nworkers = 0\n")
    assert main(["check", "-c", str(path)]) == BAD
    assert finished("gateway", "run", "-c", path) == (BAD, "", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("target", "words", "workers"),
    [
        ("asgi://no_such_module:app", "No module named 'no_such_module'", 1),
        ("asgi://support.local_apps:fails_to_start", "no database", 1),
        ("asgi://support.local_apps:fails_to_start", "no database", 2),
    ],
)
def test_a_local_app_that_does_not_start_is_told_without_a_traceback(
    tmp_path: Path, target: str, words: str, workers: int
):
    path = put(tmp_path / "routes.toml", routes_for(target, more=f"workers = {workers}"))
    code, out, err = finished("gateway", "run", "-c", path)
    assert (code, out) == (NOT_STARTED, "")
    assert words in err
    assert "Traceback" not in err


# ---------------------------------------------------------------- under uvicorn


def test_uvicorn_runs_the_app(tmp_path: Path):
    with origin(respond(200, b"here")) as server:
        path = put(tmp_path / "routes.toml", routes_for(server.url))
        with running("uvicorn", "gateway.app:app", "--port", "0", env={"GATEWAY_CONFIG": str(path)}) as process:
            assert get(process.uvicorn_port()).body == b"here"
            process.stop(signal.SIGINT)
    assert "Traceback" not in process.output
    assert "Application shutdown complete" in process.output


def test_uvicorn_tells_the_faults_of_a_configuration_without_a_traceback(tmp_path: Path):
    put(tmp_path / "routes.toml", '[server]\ndrain_timeout = 30\n[[routes]]\nproxy_pass = "http://x"\n')
    code, _, err = finished("uvicorn", "gateway.app:app", "--port", str(free_port()), cwd=tmp_path)
    assert code == NOT_STARTED
    assert "routes.toml:2: server.drain_timeout: 30 has no unit" in err
    assert "routes.toml:4: routes[0].proxy_pass: unknown key" in err
    assert "Traceback" not in err


def test_uvicorn_tells_a_missing_configuration_without_a_traceback(tmp_path: Path):
    code, _, err = finished("uvicorn", "gateway.app:app", "--port", str(free_port()), cwd=tmp_path)
    assert code == NOT_STARTED
    assert "routes.toml: cannot be read" in err
    assert "Traceback" not in err
