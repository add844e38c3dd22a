"""WebSocket through the gateway: as a byte tunnel (`http1`) and message by message (`asgi`)."""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.client import Client, connected
from support.origin import nobody, origin, raw, respond
from support.serving import ENTRANCES, PATIENCE, forwarding, gateway
from support.websocket import BINARY, TEXT, accept, accepting, frame, handshake, opened, websocket_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection
    from websockets.sync.server import ServerConnection

    from support.origin import Visit
    from support.serving import Entrance

FOREVER = 256 << 20  # bytes that nobody without backpressure would stop before
IN_FLIGHT = 24 << 20  # bytes that may be on their way through three sockets and our own buffers
STALLED = 0.5  # seconds without progress that mean that the other side has stopped us


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest) -> Entrance:
    return request.param  # type: ignore[no-any-return]


def closing_of(connection: ClientConnection | ServerConnection) -> tuple[int, str]:
    """Wait for the close, whatever comes before it: the code and the reason, as this side sees them."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            connection.recv(PATIENCE)
    return (caught.value.rcvd.code, caught.value.rcvd.reason) if caught.value.rcvd else (1006, "")


def refused(entrance: Entrance, options: dict[str, Any], target: str = "/", **client: Any) -> Any:
    """The response to a handshake that must fail."""
    with gateway(options, entrance) as running, pytest.raises(InvalidStatus) as caught, opened(running.port, target, **client):
        pass
    return caught.value.response


# ---------------------------------------------------------------- messages


def test_text_and_binary_messages_come_back(entrance: Entrance):
    with websocket_target() as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        for message in ("text", "ünïcödé ☃", "", b"binary", b"\x00\xff" * 100, b""):
            client.send(message)
            assert client.recv(PATIENCE) == message


def test_a_message_in_fragments_arrives_whole(entrance: Entrance):
    with websocket_target() as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        client.send([b"one ", b"two ", b"three"])
        assert client.recv(PATIENCE) == b"one two three"
        client.send(["snow", "man ", "☃"])
        assert client.recv(PATIENCE) == "snowman ☃"


def test_a_character_cut_by_a_fragment_arrives_whole(entrance: Entrance):
    snowman = "☃".encode()

    def in_pieces(connection: ServerConnection) -> None:
        connection.socket.sendall(frame(snowman[:1], TEXT, final=False) + frame(snowman[1:], 0))
        connection.recv()

    with websocket_target(in_pieces) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port) as client:
            assert client.recv(PATIENCE) == "☃"


def test_a_large_message_comes_back(entrance: Entrance):
    large = bytes(range(256)) * 12_000  # 3 MB
    with websocket_target() as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        client.send(large)
        assert client.recv(PATIENCE) == large
        client.send("y" * 1_500_000)
        assert client.recv(PATIENCE) == "y" * 1_500_000


def test_many_small_messages_keep_their_order(entrance: Entrance):
    def count(connection: ServerConnection) -> None:
        for number in range(3000):
            connection.send(str(number))

    with websocket_target(count) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port) as client:
            assert [int(message) for message in client] == list(range(3000))


def test_compression_is_negotiated_and_messages_come_back(entrance: Entrance):
    text = "the same again and again " * 5000
    with websocket_target(compression="deflate") as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port, compression="deflate") as client:
            assert client.protocol.extensions, "permessage-deflate was not negotiated"
            client.send(text)
            assert client.recv(PATIENCE) == text
        extensions = target.first.protocol.extensions
    assert bool(extensions) == (entrance != "asgi")  # ASGI hides the frames: there each side has its own


def test_pings_are_answered_in_both_directions(entrance: Entrance):
    ponged = threading.Event()

    def ping(connection: ServerConnection) -> None:
        pong = connection.ping(b"from the target")
        connection.send("pinged")
        if pong.wait(PATIENCE):
            ponged.set()
        connection.recv()

    with websocket_target(ping) as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        assert client.recv(PATIENCE) == "pinged"
        assert client.ping(b"from the client").wait(PATIENCE)
        assert ponged.wait(PATIENCE)


def test_what_the_target_sends_together_with_its_acceptance_is_not_lost(entrance: Entrance):
    async def step(visit: Visit) -> None:
        await accept(visit, frame(b"at once"))
        await visit.reader.read(1)
        visit.close()

    with origin(step) as server, gateway(forwarding(server.url), entrance) as running, opened(running.port) as client:
        assert client.recv(PATIENCE) == b"at once"


def test_what_the_client_sends_before_it_is_accepted_is_not_lost():
    """RFC 6455 section 4.1 tells clients to wait; a byte tunnel passes on what does not."""
    early = frame(b"at once", masked=True)
    got: list[bytes] = []

    async def step(visit: Visit) -> None:
        await accept(visit)
        got.append(await visit.reader.readexactly(len(early)))
        visit.server.event("received").set()
        await visit.closed()

    with origin(step) as server, gateway(forwarding(server.url), "express") as running, connected(running.port) as client:
        client.send(handshake() + early)
        assert client.read().status == 101
        server.wait("received")
    assert got == [early]


# ---------------------------------------------------------------- the handshake


def test_the_target_chooses_the_subprotocol(entrance: Entrance):
    with websocket_target(subprotocols=["second"]) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port, subprotocols=["first", "second"]) as client:
            assert client.subprotocol == "second"
        asked = target.first.request.headers["Sec-WebSocket-Protocol"]  # type: ignore[union-attr]
    assert asked.replace(" ", "") == "first,second"


def test_no_subprotocol_is_made_up(entrance: Entrance):
    with websocket_target() as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        assert client.subprotocol is None


def test_the_handshake_carries_path_query_and_fields(entrance: Entrance):
    options = forwarding("", path="/live/*", strip_prefix="/live", request_headers={"set": {"X-Added": "yes"}})
    with websocket_target() as target:
        options["upstreams"]["origin"]["targets"] = [target.url]
        with gateway(options, entrance) as running:
            fields = {"Cookie": "a=b", "Authorization": "Bearer t", "X-Forwarded-For": "10.0.0.1"}
            with opened(running.port, "/live/a%2Fb?x=%20&y", additional_headers=fields, origin="http://app.test") as client:  # type: ignore[arg-type]
                client.send("hello")
                assert client.recv(PATIENCE) == "hello"
                assert client.response is not None
                assert client.response.headers["Via"] == "1.1 gateway"
        request = target.first.request
    assert request is not None
    assert request.path == "/a%2Fb?x=%20&y"
    headers = request.headers
    assert headers["Host"] == f"localhost:{running.port}"
    assert headers["Origin"] == "http://app.test"
    assert headers["Cookie"] == "a=b"
    assert headers["Authorization"] == "Bearer t"
    assert headers["X-Added"] == "yes"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Request-ID"]


def test_fields_of_the_targets_acceptance_reach_the_client(entrance: Entrance):
    def add(_connection: ServerConnection, _request: Any, response: Any) -> Any:
        response.headers["Set-Cookie"] = "session=1"
        response.headers["Set-Cookie"] = "other=2"
        return response

    with websocket_target(process_response=add) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port) as client:
            assert client.response is not None
            assert client.response.headers.get_all("Set-Cookie") == ["session=1", "other=2"]


def test_a_routes_response_fields_are_on_an_accepted_handshake(entrance: Entrance):
    with websocket_target() as target:
        options = forwarding(target.url, response_headers={"set": {"X-Added": "yes"}})
        with gateway(options, entrance) as running, opened(running.port) as client:
            assert client.response is not None
            assert client.response.headers["X-Added"] == "yes"
            assert client.response.headers["X-Request-ID"]


def test_a_refused_handshake_is_passed_on_with_status_fields_and_body(entrance: Entrance):
    def refuse(connection: ServerConnection, _request: Any) -> Any:
        response = connection.respond(418, "no teapot here\n")
        response.headers["X-Reason"] = "teapot"
        return response

    with websocket_target(process_request=refuse) as target:
        response = refused(entrance, forwarding(target.url))
    assert response.status_code == 418
    assert response.body == b"no teapot here\n"
    assert response.headers["X-Reason"] == "teapot"
    assert response.headers["X-Request-ID"]
    assert response.headers["Via"] == "1.1 gateway"


def test_a_redirect_of_a_handshake_is_mapped_to_the_clients_paths(entrance: Entrance):
    with origin(respond(307, b"", "Location: /elsewhere", reason="Temporary Redirect")) as server:
        options = forwarding(server.url, path="/live/*", strip_prefix="/live")
        with gateway(options, entrance) as running, connected(running.port) as client:
            client.send(handshake("/live/x"))
            answer = client.read()
    assert answer.status == 307
    assert answer.get("location") == b"/live/elsewhere"


def test_a_long_refusal_leaves_no_connection_behind(entrance: Entrance):
    async def refuse(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 100_000)
        await visit.closed()
        visit.server.event("gone").set()

    with origin(refuse) as server, gateway(forwarding(server.url), entrance) as running:
        with connected(running.port) as client:
            client.send(handshake())
            answer = client.read_head()
            assert answer.status == 400
            client.read_some(60_000)
        server.wait("gone")


def test_a_target_that_refuses_connections_is_502(entrance: Entrance):
    with nobody() as url:
        response = refused(entrance, forwarding(url))
    assert response.status_code == 502
    assert response.headers["Content-Type"] == "application/problem+json"


def test_the_next_target_is_asked_where_one_refuses_connections(entrance: Entrance):
    with nobody() as url, websocket_target() as target, gateway(forwarding(url, target.url), entrance) as running:
        for _ in range(2):
            with opened(running.port) as client:
                client.send("hello")
                assert client.recv(PATIENCE) == "hello"


@pytest.mark.parametrize(
    "answer",
    [
        accepting(b"another key"),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        accepting(b"x").replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["wrong accept", "no accept", "another protocol", "nothing"],
)
def test_a_101_that_does_not_accept_the_handshake_is_502(entrance: Entrance, answer: bytes):
    with origin(raw(answer)) as server, gateway(forwarding(server.url), entrance) as running, connected(running.port) as client:
        client.send(handshake())
        assert client.read().status == 502


def test_a_200_to_a_handshake_is_passed_on_as_it_is(entrance: Entrance):
    with origin(respond(200, b"just a page")) as server, gateway(forwarding(server.url), entrance) as running:
        with connected(running.port) as client:
            client.send(handshake())
            answer = client.read()
    assert answer.status == 200
    assert answer.body == b"just a page"


def test_a_target_that_does_not_answer_the_handshake_is_504(entrance: Entrance):
    async def silent(visit: Visit) -> None:
        await visit.closed()

    with origin(silent) as server:
        response = refused(entrance, forwarding(server.url, timeouts={"first_byte": 0.2}))
    assert response.status_code == 504


def test_no_route_is_404(entrance: Entrance):
    options = {"routes": [{"path": "/elsewhere", "respond": {"status": 204}}]}
    assert refused(entrance, options).status_code == 404


def test_who_is_denied_gets_403_and_the_target_sees_nothing(entrance: Entrance):
    with websocket_target() as target:
        response = refused(entrance, forwarding(target.url, access={"deny": ["127.0.0.0/8"]}))
        assert response.status_code == 403
        assert response.headers["Content-Type"] == "application/problem+json"
        assert target.seen == []


def test_a_route_that_answers_itself_answers_a_handshake_too(entrance: Entrance):
    response = refused(entrance, {"routes": [{"path": "/*", "respond": {"status": 410, "body": "gone"}}]})
    assert response.status_code == 410
    assert response.body == b"gone"


def test_an_upgrade_to_anything_else_is_not_passed_on(entrance: Entrance):
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    with origin() as server, gateway(forwarding(server.url), entrance) as running, connected(running.port) as client:
        answer = client.get("/", *fields)
        assert answer.status == 200
        assert client.get("/again").status == 200
    for request in server.requests:
        assert request.get("upgrade") is None
        assert request.get("http2-settings") is None
        assert b"upgrade" not in (request.get("connection") or b"").lower()


# ---------------------------------------------------------------- the end


def test_the_targets_close_code_and_reason_reach_the_client(entrance: Entrance):
    with websocket_target(lambda connection: connection.close(4001, "enough")) as target:
        with gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
            assert closing_of(client) == (4001, "enough")


def test_messages_before_a_close_are_delivered(entrance: Entrance):
    def say_and_close(connection: ServerConnection) -> None:
        for number in range(100):
            connection.send(str(number))
        connection.close(1000, "done")

    with websocket_target(say_and_close) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port) as client:
            assert [int(message) for message in client] == list(range(100))
            assert client.close_code == 1000


def test_the_clients_close_code_and_reason_reach_the_target(entrance: Entrance):
    closings: list[tuple[int, str]] = []

    def watch(connection: ServerConnection) -> None:
        closings.append(closing_of(connection))

    with websocket_target(watch) as target, gateway(forwarding(target.url), entrance) as running:
        with opened(running.port) as client:
            client.close(4002, "bye")
            assert client.close_code == 4002
    assert closings == [(4002, "bye")]


def test_messages_of_the_client_before_its_close_are_delivered(entrance: Entrance):
    got: list[Any] = []
    with websocket_target(got.extend) as target:
        with gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
            for number in range(200):
                client.send(str(number))
            client.close()
    assert got == [str(number) for number in range(200)]


def test_a_target_that_vanishes_is_no_clean_close(entrance: Entrance):
    async def vanish(visit: Visit) -> None:
        await accept(visit, frame(b"then gone", BINARY))
        visit.writer.transport.abort()

    with origin(vanish) as server, gateway(forwarding(server.url), entrance) as running, opened(running.port) as client:
        assert client.recv(PATIENCE) == b"then gone"
        assert closing_of(client)[0] in (1006, 1011)


def test_a_client_that_vanishes_is_seen_by_the_target(entrance: Entrance):
    ended = threading.Event()

    def watch(connection: ServerConnection) -> None:
        connection.send("hello")
        closing_of(connection)
        ended.set()

    with websocket_target(watch) as target, gateway(forwarding(target.url), entrance) as running:
        with connected(running.port) as client:
            client.send(handshake())
            assert client.read().status == 101
            client.read_some(7)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ended.wait(PATIENCE)


def test_a_client_that_leaves_during_the_handshake_is_seen_by_the_target():
    """Only our protocol class tells: others accept no more than the handshake's bytes until it is answered."""

    async def silent(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.closed()
        visit.server.event("gone").set()

    with origin(silent) as server, gateway(forwarding(server.url), "express") as running:
        with connected(running.port) as client:
            client.send(handshake())
            server.wait("asked")
        server.wait("gone")


def test_text_of_the_target_that_is_not_utf8_ends_the_connection(entrance: Entrance):
    def lie(connection: ServerConnection) -> None:
        connection.socket.sendall(frame(b"\xff\xfe", TEXT))
        connection.recv()

    with websocket_target(lie) as target, gateway(forwarding(target.url), entrance) as running, opened(running.port) as client:
        with pytest.raises((ConnectionClosed, UnicodeDecodeError)):
            client.recv(PATIENCE)


def test_a_silent_tunnel_is_closed_after_stream_idle(entrance: Entrance):
    ended = threading.Event()

    def wait(connection: ServerConnection) -> None:
        closing_of(connection)
        ended.set()

    with websocket_target(wait) as target:
        options = forwarding(target.url, timeouts={"stream_idle": 0.3})
        with gateway(options, entrance) as running, opened(running.port) as client:
            closing_of(client)
            assert ended.wait(PATIENCE)


def test_the_total_timeout_bounds_a_websocket_too(entrance: Entrance):
    with websocket_target() as target:
        options = forwarding(target.url, timeouts={"total": 0.5})
        with gateway(options, entrance) as running, opened(running.port) as client:
            client.send("hello")
            assert client.recv(PATIENCE) == "hello"
            assert closing_of(client)[0] in (1006, 1011)


def test_the_total_timeout_bounds_a_handshake(entrance: Entrance):
    async def silent(visit: Visit) -> None:
        await visit.closed()

    with origin(silent) as server:
        response = refused(entrance, forwarding(server.url, timeouts={"total": 0.3}))
    assert response.status_code == 504


def test_a_tunnel_that_is_used_outlives_stream_idle(entrance: Entrance):
    with websocket_target() as target:
        options = forwarding(target.url, timeouts={"stream_idle": 0.4})
        with gateway(options, entrance) as running, opened(running.port) as client:
            for number in range(6):
                client.send(str(number))
                assert client.recv(PATIENCE) == str(number)
                with pytest.raises(TimeoutError):
                    client.recv(timeout=0.2)


# ---------------------------------------------------------------- backpressure


def send_until_stalled(sock: socket.socket, data: bytes) -> int:
    """Send again and again; how many bytes the other side took before it stopped taking any."""
    sock.settimeout(STALLED)
    sent = 0
    left = memoryview(data)
    while sent < FOREVER:
        try:
            size = sock.send(left)
        except TimeoutError:
            break
        sent += size
        left = left[size:] if size < len(left) else memoryview(data)
    return sent


def read_all(client: Client, size: int) -> Iterator[int]:
    while size > 0:
        data = client.read_some(min(size, 1 << 18))
        assert data, "closed too early"
        size -= len(data)
        yield len(data)


@pytest.mark.parametrize("size", [50_000, 2_000_000], ids=["small messages", "large messages"])
def test_a_client_that_does_not_read_stops_the_target(entrance: Entrance, size: int):
    sent: list[int] = []
    stalled = threading.Event()

    def flood(connection: ServerConnection) -> None:
        sent.append(send_until_stalled(connection.socket, frame(b"x" * size)))
        stalled.set()
        connection.socket.settimeout(None)
        connection.recv()

    with websocket_target(flood) as target, gateway(forwarding(target.url), entrance) as running:
        with connected(running.port) as client:
            client.send(handshake())
            assert client.read_head().status == 101
            assert stalled.wait(PATIENCE)
            assert sent[0] < IN_FLIGHT
            whole = sent[0] // len(frame(b"x" * size)) * len(frame(b"x" * size))
            assert sum(read_all(client, whole)) == whole


@pytest.mark.parametrize("size", [50_000, 2_000_000], ids=["small messages", "large messages"])
def test_a_target_that_does_not_read_stops_the_client(entrance: Entrance, size: int):
    stalled = threading.Event()
    received: list[int] = []

    async def deaf(visit: Visit) -> None:
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await accept(visit)
        await visit.server.waited("stalled")
        visit.writer.transport.resume_reading()  # type: ignore[attr-defined]
        received.append(len(await visit.reader.readexactly(len(message))))
        visit.server.event("resumed").set()
        await visit.closed()

    message = frame(b"x" * size, masked=True)
    with origin(deaf) as server, gateway(forwarding(server.url), entrance) as running, connected(running.port) as client:
        client.send(handshake())
        assert client.read_head().status == 101
        sent = send_until_stalled(client.sock, message)
        assert sent < IN_FLIGHT
        server.event("stalled").set()
        server.wait("resumed")
    assert received == [len(message)]
    assert not stalled.is_set()


def test_a_client_that_never_reads_does_not_hold_its_connection_after_the_target_has_gone():
    """The tunnel's end is bounded: what nobody takes is dropped after `timeouts.write`."""

    async def flood(visit: Visit) -> None:
        await accept(visit)
        visit.writer.transport.set_write_buffer_limits(high=0)
        visit.writer.write(frame(b"x" * (IN_FLIGHT)))
        await visit.server.waited("left")

    with origin(flood) as server:
        options = forwarding(server.url, timeouts={"stream_idle": 0.3, "write": 0.3})
        with gateway(options, "express") as running, connected(running.port) as client:
            client.send(handshake())
            assert client.read_head().status == 101
            client.sock.settimeout(PATIENCE)
            server.event("left").set()
            poll_reset(client.sock)


def poll_reset(sock: socket.socket) -> None:
    """Wait, without reading, until the other side has reset the connection."""
    poller = select.poll()
    poller.register(sock, select.POLLHUP | select.POLLERR)
    events = poller.poll(PATIENCE * 1000)
    assert events, "the connection is still there"
