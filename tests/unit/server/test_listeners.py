"""What an address to listen on means, and that its socket is as promised."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.listeners import Listen, bind, is_at, parse_listen

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:8080", Listen("127.0.0.1", 8080)),
        ("gateway.internal:80", Listen("gateway.internal", 80)),
        (":8080", Listen("", 8080)),
        ("[::]:8443", Listen("::", 8443)),
        ("[::1]:0", Listen("::1", 0)),
        ("[fe80::1%eth0]:65535", Listen("fe80::1%eth0", 65535)),
        ("unix:/run/gateway.sock", Listen("", 0, "/run/gateway.sock")),
        ("unix:gateway.sock", Listen("", 0, "gateway.sock")),
    ],
)
def test_addresses_are_understood(text: str, listen: Listen):
    assert parse_listen(text) == listen


@pytest.mark.parametrize(
    "text",
    [
        "", "8080", "localhost", "::1:8080", "[::1]", "[::1]8080", "[]:80", "host:", "host:http", "host:-1", "host:٨٠",
        "host:65536", "host:100000", "http://host:80", "host:80/", "a host:80", "host:80\n", "unix:", "unix:/a\0b",
        "unix:/" + "x" * 107,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_text(text: str):
    with pytest.raises(ValueError, match=r"listen on|ports end|Unix socket") as caught:
        parse_listen(text)
    assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str):
    try:
        listen = parse_listen(text)
    except ValueError:
        return
    assert 0 <= listen.port <= 65535


def test_a_bound_socket_is_ready_for_an_event_loop_and_for_workers():
    with bind("127.0.0.1:0", 16) as sock:
        assert not sock.getblocking()
        assert sock.get_inheritable()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        socket.create_connection(sock.getsockname(), 5).close()


@pytest.mark.parametrize("text", [":0", "[::]:0"])
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_every_address_is_ipv4_and_ipv6(text: str):
    with bind(text, 16) as sock:
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_one_ipv6_address_is_that_one_only():
    with bind("[::1]:0", 16) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_a_name_is_resolved_ipv4_first():
    with bind("localhost:0", 16) as sock:
        assert sock.family == socket.AF_INET


def test_an_address_in_use_is_said_so():
    with bind("127.0.0.1:0", 16) as sock:
        text = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(OSError, match=f"^{text}: the address is in use"):
            bind(text, 16)


def test_an_address_of_another_machine_is_said_so():
    with pytest.raises(OSError, match=r"^192\.0\.2\.1:0: no interface of this machine"):
        bind("192.0.2.1:0", 16)


def test_a_name_that_does_not_resolve_is_said_so():
    with pytest.raises(OSError, match=r"^nowhere\.invalid:80: the name does not resolve"):
        bind("nowhere.invalid:80", 16)


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path):
    path = tmp_path / "gateway.sock"
    with bind(f"unix:{path}", 16):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_unix_socket_that_nobody_listens_on_is_replaced(tmp_path: Path):
    path = tmp_path / "gateway.sock"
    bind(f"unix:{path}", 16).close()
    assert path.exists()
    with bind(f"unix:{path}", 16), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path):
    path = tmp_path / "gateway.sock"
    with bind(f"unix:{path}", 16):
        with pytest.raises(OSError, match="the address is in use"):
            bind(f"unix:{path}", 16)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path):
    path = tmp_path / "gateway.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket is in the way"):
        bind(f"unix:{path}", 16)
    assert path.read_text() == "precious"


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path):
    with pytest.raises(OSError, match=r"gateway\.sock: no such file or directory"):
        bind(f"unix:{tmp_path}/absent/gateway.sock", 16)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind everything")
def test_a_denied_permission_is_said_so(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="permission denied"):
        bind(f"unix:{tmp_path}/gateway.sock", 16)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", ""])
def test_a_socket_is_known_by_the_address_that_it_was_bound_for(host: str):
    with bind(f"{host}:0", 1) as sock:
        port = sock.getsockname()[1]
        assert is_at(sock, f"{host}:{port}")
        assert not is_at(sock, f"{host}:{port - 1}")
        assert not is_at(sock, "192.0.2.1:1")
        assert not is_at(sock, f"{host}:0")
        assert not is_at(sock, "unix:/run/gateway.sock")
        assert not is_at(sock, f"no.such.host.invalid:{port}")


def test_a_unix_socket_is_known_by_its_path(tmp_path: Path):
    with bind(f"unix:{tmp_path}/in.sock", 1) as sock:
        assert is_at(sock, f"unix:{tmp_path}/in.sock")
        assert not is_at(sock, f"unix:{tmp_path}/other.sock")
        assert not is_at(sock, "127.0.0.1:80")
