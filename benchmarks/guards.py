"""`python -m benchmarks.guards`: what watching over targets costs a forwarded request.

The road of `road.py`, twice: with nothing that watches, and with probes, ejection, circuit breaker, a bound on requests in
flight and retries, all on and all content. They take turns, each for a block of time with an app of its own, and the CPU
of a block is shared out to its requests: what a probe costs is in it as well. It is the gateway that is installed which is
measured, as by `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.processes import free_ports, on_installed
from benchmarks.road import build_app, connect, heads

MEASURES: Final = "--here"
PASS: Final = 1000  # requests between two looks at the clock
ROUTES: Final = """
[upstreams.targets]
targets = ["http://127.0.0.1:%d"]
%s
[[routes]]
path = "/*"
upstream = "targets"
"""
OFF: Final = """
passive = false
retry = false
"""
ON: Final = """
passive = { error_rate = "50%" }
retry = { retries = 2 }
health_check = { interval = "1s" }
circuit_breaker = true
max_requests = 1000
"""
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def answer_probe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    writer.close()


async def block(routes: str, seconds: float) -> float:
    """Microseconds of CPU a request."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        app = build_app(Path(name), routes)
        async with app.lifespan():
            client = (await connect(app, heads("/shop", varied=True))).client
            await client.run(PASS)
            requests, began, until = 0, time.process_time(), time.monotonic() + seconds
            while time.monotonic() < until:
                await client.run(PASS)
                requests += PASS
            return (time.process_time() - began) / requests * 1e6


async def measure() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards", description="What watching over targets costs.")
    parser.add_argument("--blocks", type=int, default=8, help="of each kind (8)")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a block lasts (2)")
    options = parser.parse_args()
    [port] = free_ports(1)
    async with await asyncio.start_server(answer_probe, "127.0.0.1", port):
        ratios: list[float] = []
        for _ in range(options.blocks):
            off = await block(ROUTES % (port, OFF), options.seconds)
            on = await block(ROUTES % (port, ON), options.seconds)
            ratios.append(on / off)
            print(f"off {off:6.2f} us, on {on:6.2f} us: {on / off - 1:+.1%}", flush=True)
        print(f"median {statistics.median(ratios) - 1:+.1%}")


def main() -> int:
    """Over what is installed, where it is not that already."""
    if MEASURES in sys.argv:
        sys.argv.remove(MEASURES)
        uvloop.run(measure())
        return 0
    return subprocess.run(on_installed("benchmarks.guards", MEASURES, *sys.argv[1:]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
