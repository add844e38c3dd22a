"""What an upstream takes on at a time: its circuit breaker, and limits that are found from latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gateway.config.faults import Wrong
from gateway.config.inherited import switch
from gateway.config.options import Options, Whole, whole
from gateway.config.texts import Statuses
from gateway.config.units import Percent, PositiveDuration


class BreakerOptions(Options):
    """An upstream whose attempts mostly fail is left alone for a while."""

    error_rate: Percent = Field(default=0.5, description="Failures among the attempts that open the circuit")
    min_requests: Whole = Field(default=20, ge=1, description="Attempts before that counts")
    window: PositiveDuration = Field(default=10.0, description="In which time they are counted, from a failure on")
    open_for: PositiveDuration = Field(default=10.0, description="Until one request may try again")
    status: Statuses = Field(default=["502", "503", "504"], description="Answers that count as failures")


class AdaptiveOptions(Options):
    """How many requests a target gets at a time is found from how long they take."""

    min: Whole = Field(default=1, ge=1, le=10_000, description="The lowest limit, per target")
    max: Whole = Field(default=200, ge=1, le=10_000, description="The highest limit")
    initial: Whole = Field(default=20, ge=1, le=10_000, description="The limit before anything is known")
    tolerance: Percent = Field(default=0.25, description="By how much latency may rise before the limit falls")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        lowest, highest = whole(given.get("min", 1)), whole(given.get("max", 200))
        if lowest is None or highest is None:
            return
        if lowest > highest:
            yield Wrong(f"is more than max = {highest}", "swap them", ("min",))
        initial = whole(given.get("initial", lowest))
        if initial is not None and not lowest <= initial <= highest:
            yield Wrong(f"is not from {lowest} to {highest}", "choose it between min and max", ("initial",))


BreakerSwitch = Annotated[
    BreakerOptions | bool, BeforeValidator(switch(BreakerOptions), json_schema_input_type=BreakerOptions | bool)
]
AdaptiveSwitch = Annotated[
    AdaptiveOptions | bool, BeforeValidator(switch(AdaptiveOptions), json_schema_input_type=AdaptiveOptions | bool)
]
