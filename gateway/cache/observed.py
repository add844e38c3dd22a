"""A target's answer that goes by a cache, which sees its head and may have its body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.exchange import ResponseHead
from gateway.outgoing import response_headers
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from gateway.cache.source import Observer, Tee
    from gateway.forward import AnyLink, OnInterim
    from gateway.rfc.message import AnswerHead


class Observed(Answer):
    """An answer whose head an observer sees, and whose body it may have as well."""

    __slots__ = ("_observer", "seen", "tee")

    def __init__(self, link: AnyLink, on_interim: OnInterim, observer: Observer) -> None:
        super().__init__(link, on_interim)
        self._observer = observer
        self.seen: ResponseHead | None = None
        self.tee: Tee | None = None

    def head(self, head: AnswerHead) -> None:
        self._see(head)
        super().head(head)

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        self._see(head)
        if self.tee is not None and body:
            self.tee.append(body)
        super().whole(head, body, now)

    def data(self, chunk: bytes) -> None:
        if self.tee is not None:
            self.tee.append(chunk)
        super().data(chunk)

    def _see(self, head: AnswerHead) -> None:
        self.seen = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        self.tee = self._observer.seen(self.seen)
