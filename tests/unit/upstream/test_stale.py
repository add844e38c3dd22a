"""Idle connections that have something to say."""

from __future__ import annotations

import socket

import pytest

from gateway.upstream.stale import has_news


class Transport:
    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock

    def get_extra_info(self, name: str) -> socket.socket | None:
        return {"socket": self.sock}[name]


@pytest.mark.parametrize("said", ["nothing", "closed", "bytes"])
def test_an_idle_connection_has_news_when_it_was_closed_or_sent_something(said: str):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if said == "closed":
            theirs.close()
        elif said == "bytes":
            theirs.send(b"x")
        assert has_news(Transport(ours)) is (said != "nothing")  # type: ignore[arg-type]


def test_what_is_no_socket_has_none():
    assert not has_news(Transport(None))  # type: ignore[arg-type]
