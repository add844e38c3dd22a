"""A script that Redis runs in one step: sent by its name, and whole only where Redis does not know it yet."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gateway.redis.resp import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.redis.resp import Argument


class Script:
    """All its keys are in one slot of a Cluster."""

    __slots__ = ("_name", "_text")

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._name = hashlib.sha1(self._text, usedforsecurity=False).hexdigest().encode()

    def by_name(self, keys: Sequence[bytes], *arguments: Argument) -> bytes:
        return command(b"EVALSHA", self._name, len(keys), *keys, *arguments)

    def whole(self, keys: Sequence[bytes], *arguments: Argument) -> bytes:
        return command(b"EVAL", self._text, len(keys), *keys, *arguments)
