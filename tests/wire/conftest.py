"""What many wire tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client import get
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
    target = _plain.gateway.target()
    _plain.gateway.until(lambda: target.in_flight == 0)
    _plain.play()
    get(_plain.origin.port)  # behind all that an earlier test may have sent
    _plain.play()
    return _plain
