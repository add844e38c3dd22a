"""Clients that go on asking, and notice when they get no good answer."""

from __future__ import annotations

import threading

from support.client import connected

PATIENCE = 20.0


class Load:
    """Clients that ask one request after the other, on connections that stay, until it is left.

    answers: the bodies of those that were whole and 200. failures: what else there was; its client ends.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self.port = port
        self.answers: list[bytes] = []
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ask no more; what was asked is waited for."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, count: int = 50) -> None:
        """Until so many more have been answered."""
        until = len(self.answers) + count
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.005)):
            if len(self.answers) >= until or self.failures:
                break
            pause.wait(0.005)
        assert self.failures == []
        assert len(self.answers) >= until

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with connected(self.port) as client:
                    while not self._over.is_set():
                        answer = client.get("/load")
                        assert answer.status == 200, answer.head
                        assert answer.complete
                        self.answers.append(answer.body)
                        if answer.get("connection") == b"close":
                            break
            except (OSError, AssertionError) as exc:
                self.failures.append(repr(exc))
                return
