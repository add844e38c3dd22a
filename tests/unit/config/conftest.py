"""Reading configurations that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import ConfigError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Fault

    Faults = Callable[..., list[Fault]]


@pytest.fixture
def faults() -> Faults:
    """All that is wrong with a text; further arguments are the environment."""

    def find(text: str, **environ: str) -> list[Fault]:
        with pytest.raises(ConfigError) as caught:
            parse(text, environ=environ)
        return caught.value.faults

    return find


@pytest.fixture
def fault(faults: Faults) -> Callable[..., Fault]:
    """The only thing that is wrong with a text."""

    def find(text: str, **environ: str) -> Fault:
        found = faults(text, **environ)
        assert len(found) == 1, found
        return found[0]

    return find
