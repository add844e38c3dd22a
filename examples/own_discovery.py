"""A discovery of one's own: targets from an environment variable, for who has something better than that.

Try it from the repository:

    TARGETS="http://127.0.0.1:9001 http://127.0.0.1:9002" .venv/bin/gateway run -c own.toml

with, in own.toml:

    [upstreams.api]
    discover = { custom = "examples.own_discovery:FromEnvironment", options = { variable = "TARGETS" } }

    [[routes]]
    upstream = "api"
"""

from __future__ import annotations

import os

from gateway.upstream.discovery.found import Found, Spec


class FromEnvironment:
    """Made once, with `options` by name; `look_up` is asked again and again, and may wait or fail as it likes."""

    def __init__(self, variable: str) -> None:
        self._variable = variable

    async def look_up(self) -> Found:
        urls = os.environ[self._variable].split()
        return Found(tuple(Spec(url) for url in urls), fresh_for=10.0)
