"""What many wire tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.serving import ENTRANCES, Entrance, Pair, in_front

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=ENTRANCES)
def _plain(request: pytest.FixtureRequest) -> Iterator[Pair]:
    entrance: Entrance = request.param
    with in_front(entrance) as pair:
        yield pair


@pytest.fixture
def plain(_plain: Pair) -> Pair:
    """A gateway with all its defaults, by each entrance, in front of one origin; it is shared by all tests."""
    _plain.play()
    return _plain
