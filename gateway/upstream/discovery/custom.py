"""A discovery that somebody else has written, by its import path or entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import TargetError
from gateway.extensions import DISCOVERIES, found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.upstream.discovery import Discovery


def of_another(name: str, options: Mapping[str, Any]) -> Discovery:
    """What the name stands for, called with the options. Raises TargetError where that makes no discovery."""
    try:
        discovery: Discovery = found(name, DISCOVERIES)(**options)
    except Exception as exc:  # code that is not ours
        raise TargetError(f"discover.custom: {name}: {exc}") from exc
    if not callable(getattr(discovery, "look_up", None)):
        raise TargetError(f"discover.custom: {name} has no look_up")
    return discovery
