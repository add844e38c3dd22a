"""Real handshakes with our server and client contexts, on both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import warnings
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import uvicorn
import uvloop
from cryptography import x509

from gateway.errors import TlsCertificateError, TlsError
from gateway.server.dev_certificate import ensure_dev_certificate
from gateway.server.listeners import bind
from gateway.server.tls import ServerTlsOptions, server_context
from gateway.upstream.tls import client_context, tls_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    Run = Callable[[Coroutine[Any, Any, None]], None]

PATIENCE = 20.0
CA = trustme.CA()
OTHER_CA = trustme.CA()


class Clock:
    """The time between two looks at the files, without waiting for it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def runner(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(main, PATIENCE))

    return runner


def put(path: Path, data: bytes) -> None:
    """Replace a file as a certificate tool does."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


def issue(directory: Path, stem: str, *names: str, ca: trustme.CA = CA) -> tuple[str, str]:
    leaf = ca.issue_cert(*names)
    put(directory / f"{stem}.pem", leaf.cert_chain_pems[0].bytes())
    put(directory / f"{stem}.key", leaf.private_key_pem.bytes())
    return str(directory / f"{stem}.pem"), str(directory / f"{stem}.key")


def client(client_ca: trustme.CA | None = None, *, trust: trustme.CA = CA) -> ssl.SSLContext:
    """A client's context; with a certificate of `client_ca`, if given."""
    context = ssl.create_default_context()
    trust.configure_trust(context)
    if client_ca is not None:
        client_ca.issue_cert("client@gateway.test").configure_cert(context)
    return context


class Talk:
    """One connection to a server that sends back what it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.tls: ssl.SSLObject = writer.get_extra_info("ssl_object")

    async def echo(self) -> None:
        self._writer.write(b"ping\n")
        if await self._reader.readline() != b"ping\n":
            raise ConnectionResetError("closed without an answer")

    def names(self) -> list[str]:
        """Of the certificate that the server has shown."""
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        extension = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return extension.value.get_values_for_type(x509.DNSName)


@asynccontextmanager
async def talking(port: int, context: ssl.SSLContext, name: str | None) -> AsyncIterator[Talk]:
    """name: what the client calls the server; None for a client without SNI, which can not check the name."""
    if name is None:
        context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    try:
        talk = Talk(reader, writer)
        await talk.echo()
        yield talk
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)  # what failed is known already


@asynccontextmanager
async def echoing(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a server that sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
            writer.close()
            await writer.wait_closed()
        except (OSError, ssl.SSLError):
            writer.close()

    sock = bind("127.0.0.1:0", 64)
    server = await asyncio.start_server(serve, sock=sock, ssl=context)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def names_seen(port: int, name: str | None) -> list[str]:
    async with talking(port, client(), name) as talk:
        return talk.names()


# ---------------------------------------------------------------- which certificate


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for(run: Run, tmp_path: Path, version: ssl.TLSVersion):
    names = [["first.test"], ["www.shop.test"], ["*.shop.test"]]
    pairs = tuple(issue(tmp_path, f"site{i}", *each) for i, each in enumerate(names))

    async def main() -> None:
        async with echoing(server_context(ServerTlsOptions(pairs))) as port:
            for asked, shown in (("first.test", 0), ("www.shop.test", 1), ("WWW.shop.test", 1), ("x.shop.test", 2)):
                context = client()
                context.maximum_version = version
                async with talking(port, context, asked) as talk:
                    assert talk.names() == names[shown]
                    assert talk.tls.version() == version.name.replace("_", ".")

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_a_name_and_one_with_an_unknown_name_get_the_first(
    run: Run, tmp_path: Path, version: ssl.TLSVersion
):
    clock = Clock()
    pairs = (issue(tmp_path, "a", "a.test"), issue(tmp_path, "b", "b.test"))

    async def main() -> None:
        async with echoing(server_context(ServerTlsOptions(pairs), clock)) as port:
            for name in (None, "unknown.test"):
                context = client()
                context.check_hostname = False
                context.maximum_version = version
                async with talking(port, context, name) as talk:
                    assert talk.names() == ["a.test"]
            issue(tmp_path, "a", "new.test")
            clock.now += 1
            assert await names_seen(port, None) == ["new.test"]

    run(main())


# ---------------------------------------------------------------- new files


def test_a_new_certificate_is_for_new_connections_and_old_ones_live_on(run: Run, tmp_path: Path):
    clock = Clock()
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"),))

    async def main() -> None:
        async with echoing(server_context(options, clock)) as port, talking(port, client(), "a.test") as old:
            issue(tmp_path, "a", "a.test", "new.test")
            clock.now += 1
            assert await names_seen(port, "new.test") == ["a.test", "new.test"]
            await old.echo()
            assert old.names() == ["a.test"]

    run(main())


def test_files_are_looked_at_once_a_second(run: Run, tmp_path: Path):
    clock = Clock()
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"),))

    async def main() -> None:
        async with echoing(server_context(options, clock)) as port:
            issue(tmp_path, "a", "a.test", "new.test")
            clock.now += 0.99
            assert await names_seen(port, "a.test") == ["a.test"]
            clock.now += 0.01
            assert await names_seen(port, "a.test") == ["a.test", "new.test"]

    run(main())


def test_a_broken_certificate_does_not_disturb_anyone(run: Run, tmp_path: Path):
    clock = Clock()
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"),))

    async def main() -> None:
        async with echoing(server_context(options, clock)) as port:
            put(tmp_path / "a.key", OTHER_CA.issue_cert("a.test").private_key_pem.bytes())
            for _ in range(2):
                clock.now += 1
                assert await names_seen(port, "a.test") == ["a.test"]
            issue(tmp_path, "a", "a.test", "repaired.test")
            clock.now += 1
            assert await names_seen(port, "a.test") == ["a.test", "repaired.test"]

    run(main())


# ---------------------------------------------------------------- client certificates

REFUSED = (ssl.SSLError, ConnectionError)


def with_client_ca(directory: Path, auth: str) -> ServerTlsOptions:
    put(directory / "clients.pem", CA.cert_pem.bytes())
    pairs = (issue(directory, "a", "a.test"), issue(directory, "b", "b.test"))
    return ServerTlsOptions(pairs, client_ca=str(directory / "clients.pem"), client_auth=auth)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.test", "b.test"])
@pytest.mark.parametrize(("auth", "without"), [("required", False), ("optional", True)])
def test_client_certificates_are_checked_for_every_name(run: Run, tmp_path: Path, name: str, auth: str, without: bool):
    async def main() -> None:
        async with echoing(server_context(with_client_ca(tmp_path, auth))) as port:
            async with talking(port, client(CA), name):
                pass
            with pytest.raises(REFUSED):
                async with talking(port, client(OTHER_CA), name):
                    pass
            if without:
                async with talking(port, client(), name):
                    pass
            else:
                with pytest.raises(REFUSED):
                    async with talking(port, client(), name):
                        pass

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_client_authorities_count_at_once_even_for_sessions_of_before(
    run: Run, tmp_path: Path, version: ssl.TLSVersion
):
    clock = Clock()

    async def main() -> None:
        async with echoing(server_context(with_client_ca(tmp_path, "required"), clock)) as port:
            context, other = client(CA), client(OTHER_CA)
            context.maximum_version = version
            async with talking(port, context, "a.test") as talk:
                session = talk.tls.session
            put(tmp_path / "clients.pem", OTHER_CA.cert_pem.bytes())
            clock.now += 1
            async with talking(port, other, "a.test"):
                pass
            with pytest.raises(REFUSED):
                await asyncio.to_thread(resume, port, context, session)

    run(main())


def resume(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="a.test", session=session) as tls,
    ):
        tls.sendall(b"ping\n")
        if tls.recv(5) != b"ping\n":
            raise ConnectionResetError


# ---------------------------------------------------------------- versions and protocols


def shake_hands(server: ssl.SSLContext, client_side: ssl.SSLContext) -> str | None:
    """The version agreed on. In memory: an event loop may drop the alert that says why a handshake failed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client_side.wrap_bio(to_client, to_server, server_hostname="a.test")
    for side in (theirs, ours, theirs, ours, theirs):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return theirs.version()


def client_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


def test_tls_1_1_is_refused(tmp_path: Path):
    server = server_context(ServerTlsOptions((issue(tmp_path, "a", "a.test"),)))
    assert shake_hands(server, client_of(ssl.TLSVersion.TLSv1_2)) == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(server, client_of(ssl.TLSVersion.TLSv1_1))


def test_tls_1_2_is_refused_when_1_3_is_the_lowest(tmp_path: Path):
    server = server_context(ServerTlsOptions((issue(tmp_path, "a", "a.test"),), min_version="1.3"))
    assert shake_hands(server, client_of(ssl.TLSVersion.TLSv1_3)) == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(server, client_of(ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize(("offered", "taken"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), (None, None)])
def test_only_http_1_1_is_agreed_on(run: Run, tmp_path: Path, offered: list[str] | None, taken: str | None):
    context = client()
    if offered is not None:
        context.set_alpn_protocols(offered)
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"), issue(tmp_path, "b", "b.test")))

    async def main() -> None:
        async with echoing(server_context(options)) as port, talking(port, context, "b.test") as talk:
            assert talk.tls.selected_alpn_protocol() == taken

    run(main())


# ---------------------------------------------------------------- towards targets


async def failure(port: int, context: ssl.SSLContext, name: str) -> TlsError:
    with pytest.raises(ssl.SSLError) as caught:
        async with talking(port, context, name):
            pass
    return tls_error(caught.value, name)


def test_a_good_target_is_accepted_with_our_certificate(run: Run, tmp_path: Path):
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert, key = issue(tmp_path, "gw", "gateway.test")
    context = client_context(ca=str(tmp_path / "ca.pem"), client_cert=cert, client_key=key)

    async def main() -> None:
        server = server_context(with_client_ca(tmp_path, "required"))
        async with echoing(server) as port, talking(port, context, "a.test") as talk:
            assert talk.tls.selected_alpn_protocol() == "http/1.1"

    run(main())


def test_a_wrong_name_an_unknown_authority_and_an_expired_certificate_are_certificate_errors(run: Run, tmp_path: Path):
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    OTHER_CA.cert_pem.write_to_path(tmp_path / "other.pem")
    ours, other = client_context(ca=str(tmp_path / "ca.pem")), client_context(ca=str(tmp_path / "other.pem"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = CA.issue_cert("old.test", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    expired.cert_chain_pems[0].write_to_path(tmp_path / "old.pem")
    expired.private_key_pem.write_to_path(tmp_path / "old.key")
    old = (str(tmp_path / "old.pem"), str(tmp_path / "old.key"))
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"), old))

    async def main() -> None:
        async with echoing(server_context(options)) as port:
            cases = [(ours, "wrong.test", "wrong.test"), (other, "a.test", "issuer"), (ours, "old.test", "expired")]
            cases.append((client_context(), "a.test", "issuer"))
            for context, name, reason in cases:
                error = await failure(port, context, name)
                assert type(error) is TlsCertificateError
                assert reason in str(error)
            async with talking(port, client_context(verify=False), "wrong.test"):
                pass

    run(main())


def test_a_target_that_speaks_no_tls_is_a_protocol_error(run: Run):
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        sock = bind("127.0.0.1:0", 8)
        server = await asyncio.start_server(serve, sock=sock)
        try:
            assert type(await failure(sock.getsockname()[1], client_context(), "a.test")) is TlsError
        finally:
            server.close()
            await server.wait_closed()

    run(main())


# ---------------------------------------------------------------- the development certificate, and uvicorn


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "machine.lan"])
def test_the_development_certificate_is_good_for_all_its_names(
    run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("socket.gethostname", lambda: "machine.lan")
    made = ensure_dev_certificate(tmp_path)
    context = client_context(ca=str(made.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = server_context(ServerTlsOptions(((str(made.cert), str(made.key)),)))

    async def main() -> None:
        async with echoing(server) as port:
            async with talking(port, context, name):
                pass
            assert type(await failure(port, context, "other.test")) is TlsCertificateError

    run(main())


def test_the_context_serves_under_uvicorn(run: Run, tmp_path: Path):
    async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    clock = Clock()
    options = ServerTlsOptions((issue(tmp_path, "a", "a.test"),))

    async def get(port: int) -> bytes:
        context = client()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="a.test")
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> None:
        config = uvicorn.Config(
            app,
            http="gateway.server.protocol:GatewayProtocol",
            ssl_context_factory=lambda _config, _default: server_context(options, clock),
            lifespan="off",
            log_config=None,
        )
        config.load()
        sock = bind("127.0.0.1:0", 64)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([sock]))
        try:
            assert (await get(sock.getsockname()[1])).endswith(b"\r\n5\r\nhttps\r\n0\r\n\r\n")
        finally:
            server.should_exit = True
            await task
            sock.close()

    run(main())
