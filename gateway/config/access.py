"""`access`: who may come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from gateway.config.faults import Wrong
from gateway.config.options import Options
from gateway.config.texts import Network


class Access(Options):
    """By the client's address. Deny wins; where `allow` is not empty nobody else may."""

    allow: list[Network] = Field(default=[], description="Addresses and networks that may come in; empty for all")
    deny: list[Network] = Field(default=[], description="Addresses and networks that may not")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if not given:
            yield Wrong("is empty", "give allow, deny or both")
        if given.get("allow") == []:
            yield Wrong("an empty list would let everybody in", "leave it out, or name who may come in", ("allow",))
