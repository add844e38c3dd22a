"""HTTPS as `gateway run` serves it: certificates, clients' certificates, redirects, new files while it runs."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509

from gateway.cli import main
from support.client import Client, connected, get
from support.origin import origin, respond
from support.process import finished, free_port, running
from support.serving import ENTRANCES, forwarding, gateway
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.process import Running
    from support.serving import Entrance

PATIENCE = 20.0
CA = trustme.CA()
CLIENT_CA = trustme.CA()
STRANGER = trustme.CA()


def issue(directory: Path, stem: str, *names: str) -> tuple[Path, Path]:
    """A certificate with its key; in place at once, as certificate tools do it."""
    leaf = CA.issue_cert(*names)
    paths = directory / f"{stem}.pem", directory / f"{stem}.key"
    for path, data in zip(paths, (leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()), strict=True):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        os.replace(fresh, path)
    return paths


def trusting(client_ca: trustme.CA | None = None) -> ssl.SSLContext:
    """A client's context; with a certificate of `client_ca`, if given."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    if client_ca is not None:
        client_ca.issue_cert("client@gateway.test").configure_cert(context)
    return context


@contextmanager
def secured(directory: Path, url: str, entrance: Entrance = "express", route: Any = None, **tls: Any) -> Iterator[int]:
    """The port of a gateway with TLS; tls are further options of `[server.tls]`."""
    cert, key = issue(directory, "site", "localhost", "127.0.0.1")
    options = forwarding(url, **(route or {}), server={"tls": {"cert": cert, "key": key, **tls}})
    with gateway(options, entrance) as served:
        yield served.port


def config(directory: Path, url: str, tls: str = "", listen: str = '"127.0.0.1:0"', server: str = "") -> Path:
    """A file for `gateway run`."""
    issue(directory, "site", "localhost", "127.0.0.1")
    path = directory / "routes.toml"
    path.write_text(
        f'[server]\nlisten = [{listen}]\n{server}\n[server.tls]\ncert = "site.pem"\nkey = "site.key"\n{tls}\n'
        f'[access_log]\nformat = "off"\n[[routes]]\nupstream = "{url}"\n'
    )
    return path


@contextmanager
def run(*arguments: Any) -> Iterator[Running]:
    """`gateway run` in a process of its own; it must stop cleanly."""
    with running("gateway", "run", "-c", config(*arguments)) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest) -> Entrance:
    return request.param  # type: ignore[no-any-return]


def names_shown(client: Client) -> list[str]:
    """Of the certificate that the server has shown."""
    assert isinstance(client.sock, ssl.SSLSocket)
    der = client.sock.getpeercert(binary_form=True)
    assert der is not None
    extension = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


# ---------------------------------------------------------------- serving


def test_requests_go_through_and_the_target_knows_that_it_was_https(tmp_path: Path, entrance: Entrance):
    with origin(respond(200, b"here")) as server, secured(tmp_path, server.url, entrance) as port:
        with connected(port, trusting()) as client:
            assert client.get("/").body == b"here"
            assert client.get("/again", "X-Forwarded-Proto: http").body == b"here"
    for request in server.requests:
        assert request.all("x-forwarded-proto") == [b"https"]


def test_run_serves_https(tmp_path: Path):
    with origin(respond(200, b"here")) as server, run(tmp_path, server.url) as process:
        with connected(process.port(), trusting()) as client:
            assert client.get("/").body == b"here"
        assert json.loads(process.wait_for("listening"))["scheme"] == "https"
    assert server.requests[0].get("x-forwarded-proto") == b"https"


def test_a_large_body_goes_both_ways(tmp_path: Path, entrance: Entrance):
    body = os.urandom(3_000_000)
    with origin(respond(200, body)) as server, secured(tmp_path, server.url, entrance) as port:
        with connected(port, trusting()) as client:
            assert client.get("/", method="POST", body=body).body == body
    assert server.requests[0].body == body


def test_websockets_go_through(tmp_path: Path, entrance: Entrance):
    with websocket_target() as target, secured(tmp_path, target.url, entrance) as port:
        with opened(port, scheme="wss", ssl=trusting()) as client:
            for message in ("hello", b"x" * 2_000_000):
                client.send(message)
                assert client.recv(PATIENCE) == message
    assert target.first.request is not None
    assert target.first.request.headers["X-Forwarded-Proto"] == "https"


def test_hsts_is_said_over_https_and_not_over_http(tmp_path: Path, entrance: Entrance):
    with origin() as server:
        with secured(tmp_path, server.url, entrance, {"hsts": True}) as port, connected(port, trusting()) as client:
            assert client.get("/").get("strict-transport-security") == b"max-age=31536000"
        with gateway(forwarding(server.url, hsts=True), entrance) as served:
            assert get(served.port).get("strict-transport-security") is None


def test_plain_http_on_the_https_port_is_no_crash(tmp_path: Path):
    with origin() as server, secured(tmp_path, server.url) as port:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionError):
                assert not sock.recv(1024).startswith(b"HTTP/1.1 200")
        with connected(port, trusting()) as client:
            assert client.get("/").status == 200
    assert len(server.requests) == 1


def test_only_http1_is_offered_by_alpn(tmp_path: Path):
    context = trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with origin() as server, secured(tmp_path, server.url) as port, connected(port, context) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.selected_alpn_protocol() == "http/1.1"


# ---------------------------------------------------------------- versions and names


@pytest.mark.parametrize(("version", "accepted"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)])
def test_an_older_version_than_min_version_is_refused(tmp_path: Path, version: ssl.TLSVersion, accepted: bool):
    context = trusting()
    context.minimum_version = context.maximum_version = version
    with origin() as server, secured(tmp_path, server.url, min_version="1.3") as port:
        if accepted:
            with connected(port, context) as client:
                assert client.get("/").status == 200
        else:
            with pytest.raises(ssl.SSLError), connected(port, context):
                pass


def test_certificates_are_chosen_by_name(tmp_path: Path):
    pairs = issue(tmp_path, "shop", "shop.test"), issue(tmp_path, "wild", "*.apps.test")
    certificates = [{"cert": cert, "key": key} for cert, key in pairs]
    with origin() as server, secured(tmp_path, server.url, certificates=certificates) as port:
        for name, shown in (("shop.test", ["shop.test"]), ("a.apps.test", ["*.apps.test"]), ("localhost", ["localhost"])):
            with connected(port, trusting(), name) as client:
                assert [found for found in names_shown(client) if found != "127.0.0.1"] == shown
                assert client.get("/", f"Host: {name}").status == 200
        with pytest.raises(ssl.SSLCertVerificationError), connected(port, trusting(), "other.test"):
            pass


# ---------------------------------------------------------------- clients' certificates


def with_client_ca(directory: Path, auth: str) -> dict[str, Any]:
    CLIENT_CA.cert_pem.write_to_path(str(directory / "clients.pem"))
    return {"client_ca": directory / "clients.pem", "client_auth": auth}


def test_a_required_client_certificate_lets_in_who_shows_one(tmp_path: Path):
    with origin() as server, secured(tmp_path, server.url, **with_client_ca(tmp_path, "required")) as port:
        with connected(port, trusting(CLIENT_CA)) as client:
            assert client.get("/").status == 200


@pytest.mark.parametrize("client_ca", [None, STRANGER], ids=["none", "a stranger's"])
def test_without_a_required_client_certificate_no_request_goes_through(tmp_path: Path, client_ca: trustme.CA | None):
    with origin() as server, secured(tmp_path, server.url, **with_client_ca(tmp_path, "required")) as port:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)), connected(port, trusting(client_ca)) as client:
            client.get("/")
    assert server.requests == []


def test_an_optional_client_certificate_may_be_missing_and_must_not_be_wrong(tmp_path: Path):
    with origin() as server, secured(tmp_path, server.url, **with_client_ca(tmp_path, "optional")) as port:
        for client_ca in (None, CLIENT_CA):
            with connected(port, trusting(client_ca)) as client:
                assert client.get("/").status == 200
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)), connected(port, trusting(STRANGER)) as client:
            client.get("/")
    assert len(server.requests) == 2


# ---------------------------------------------------------------- the redirect


def test_plain_http_is_redirected_to_https_by_every_worker(tmp_path: Path):
    port, https = free_port(), free_port()
    listen = f'"127.0.0.1:{port}", "127.0.0.1:{https}"'
    with origin() as server:
        with run(tmp_path, server.url, "redirect_http = true", listen, "workers = 2") as process:
            process.wait_for("startup complete", 2)
            for _ in range(4):
                answer = get(port, "/a%2Fb?c=d", f"Host: shop.test:{port}", method="POST", body=b"x")
                assert answer.status == 308
                assert answer.get("location") == b"https://shop.test:%d/a%%2Fb?c=d" % https
            with connected(https, trusting()) as client:
                assert client.get("/").status == 200
    assert len(server.requests) == 1


# ---------------------------------------------------------------- new files


def poll_names(port: int, context: ssl.SSLContext, wanted: list[str]) -> None:
    """Until a new connection shows the certificate for these names."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.1)):
        with connected(port, context) as client:
            shown = names_shown(client)
        if shown == wanted:
            return
        pause.wait(0.1)
    assert shown == wanted


def test_a_new_certificate_is_shown_while_old_connections_live_on(tmp_path: Path):
    anyone = trusting()
    anyone.check_hostname = False
    with origin(respond(200, b"here")) as server, run(tmp_path, server.url) as process:
        port = process.port()
        with connected(port, anyone) as old:
            assert old.get("/").body == b"here"
            issue(tmp_path, "site", "renewed.test")
            poll_names(port, anyone, ["renewed.test"])
            assert names_shown(old) == ["localhost"]
            assert old.get("/still").body == b"here"
        assert "certificate reloaded" in process.output


def test_a_damaged_certificate_leaves_the_old_one_in_place(tmp_path: Path):
    anyone = trusting()
    anyone.check_hostname = False
    with origin() as server, run(tmp_path, server.url) as process:
        port = process.port()
        with connected(port, anyone) as client:
            assert client.get("/").status == 200
        (tmp_path / "site.pem").write_text("damaged")
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.1)):
            with connected(port, anyone) as client:
                assert names_shown(client) == ["localhost"]
            if "certificate not reloaded" in process.output:
                break
            pause.wait(0.1)
        assert "holds no usable PEM certificate" in process.wait_for("certificate not reloaded")


# ---------------------------------------------------------------- faults


def test_a_key_of_another_certificate_is_one_sentence(tmp_path: Path):
    path = config(tmp_path, "http://127.0.0.1:9")
    other = CA.issue_cert("other.test").private_key_pem.bytes()
    (tmp_path / "site.key").write_bytes(other)
    code, _, err = finished("gateway", "run", "-c", path)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "does not match the certificate" in err


def test_a_missing_file_is_a_fault_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = config(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "site.key").unlink()
    assert main(["check", "-c", str(path)]) == 1
    assert "server.tls.key" in capsys.readouterr().err
