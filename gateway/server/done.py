"""What is awaited where there is nothing to wait for: a coroutine that ends at once would cost several times as much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator


class Done:
    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # all that `await` needs of a generator


DONE: Final = Done()
