"""Starts the sample services and the gateway, and ends all of them: on Ctrl-C, on SIGTERM, and when one of them dies.

    python samples/run.py [routes.toml]
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config import Config, ConfigError, load, split_listen

ROOT: Final = Path(__file__).resolve().parent.parent
START_SECONDS: Final = 30.0  # for everything to answer
STOP_SECONDS: Final = 10.0  # before what has not stopped is killed
LOOPBACK: Final = "127.0.0.1"
PR_SET_PDEATHSIG: Final = 1  # prctl(2)


@dataclass(frozen=True)
class Service:
    name: str
    app: str
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "uvicorn", self.app, "--host", LOOPBACK, "--port", str(self.port),
            "--no-proxy-headers", "--no-access-log", "--log-level", "warning",
            "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "1",
        ]  # fmt: skip


SERVICES: Final = (
    Service("shop", "samples.shop:app", 9101),
    Service("api-1", "samples.api:app", 9102, {"NAME": "api-1"}),
    Service("api-2", "samples.api:app", 9103, {"NAME": "api-2"}),
    Service("events", "samples.events:app", 9104),
)

OPEN: Final = """
  The gateway is up. Open

      {url}/                  the shop, a page that tries all the routes below

  or in another terminal

      curl {url}/api/who      balanced over two targets; repeat it
      curl {url}/api/echo     what a target sees of a request
      curl -N {url}/events/clock
      curl -i {url}/internal/report

  The routes are in {config}. Ctrl-C stops everything.
"""


async def main(path: Path) -> int:
    config = load(path)
    taken = [f"{service.name} (port {service.port})" for service in SERVICES if not is_free(service.port)]
    if taken:
        print(f"in use by another process: {', '.join(taken)}", file=sys.stderr)
        return 1
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    running: dict[str, asyncio.subprocess.Process] = {}
    try:
        for service in SERVICES:
            running[service.name] = await start(service.command, service.environment)
        running["gateway"] = await start([sys.executable, "-m", "gateway", "run", "-c", str(path)], {})
        return await watch(running, config, path, stop)
    finally:
        await end(running)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


async def start(command: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    """In a session of its own, so that a terminal's Ctrl-C reaches us alone and we choose the order of the ends."""
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True, preexec_fn=end_with_parent
    )


def end_with_parent() -> None:
    """Where the system can do it: no child outlives us, even if we are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def watch(
    running: dict[str, asyncio.subprocess.Process], config: Config, path: Path, stop: asyncio.Event
) -> int:
    """Until we are told to stop, which is well (0), or one has ended by itself, which is not (1)."""
    stopping = asyncio.create_task(stop.wait())
    ends = {asyncio.create_task(process.wait()): name for name, process in running.items()}
    greeting = asyncio.create_task(greet(config, path))
    try:
        done, _ = await asyncio.wait({stopping, *ends}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        greeting.cancel()
        stopping.cancel()
        for task in ends:
            task.cancel()
    if stop.is_set():
        return 0
    for task in done & ends.keys():
        print(f"{ends[task]} ended by itself; stopping the others", file=sys.stderr)
    return 1


async def greet(config: Config, path: Path) -> None:
    """Say what to open, once all of it answers."""
    where = split_listen(config.server.listen[-1])
    scheme = "http" if config.server.tls is None else "https"
    try:
        async with asyncio.timeout(START_SECONDS):
            for port in [*(service.port for service in SERVICES), where.port]:
                while port and not await answers(port):
                    await asyncio.sleep(0.05)
    except TimeoutError:
        print("something does not answer yet", file=sys.stderr)
        return
    url = f"{scheme}://localhost:{where.port}" if where.port else f"unix:{where.path}"
    print(OPEN.format(url=url, config=path.name), flush=True)


async def answers(port: int) -> bool:
    """Whether a connection gets any answer at all; with TLS, a refusal of ours is one."""
    try:
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(b"HEAD /-/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read(5)
    except OSError:
        return False
    writer.close()
    return answer != b""


async def end(running: dict[str, asyncio.subprocess.Process]) -> None:
    """The gateway first, as it still has exchanges with the others; then these."""
    await stopped([running[name] for name in running if name == "gateway"])
    await stopped([running[name] for name in running if name != "gateway"])


async def stopped(processes: list[asyncio.subprocess.Process]) -> None:
    alive = [process for process in processes if process.returncode is None]
    for process in alive:
        process.terminate()
    waits = [asyncio.create_task(process.wait()) for process in alive]
    if not waits:
        return
    _, late = await asyncio.wait(waits, timeout=STOP_SECONDS)
    if late:
        for process in alive:
            if process.returncode is None:
                process.kill()
        await asyncio.wait(late)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    chosen = Path(arguments[0] if arguments else os.environ.get("GATEWAY_CONFIG", ROOT / "routes.toml"))
    try:
        code = asyncio.run(main(chosen.resolve()))
    except ConfigError as error:
        print(error, file=sys.stderr)
        code = 1
    sys.exit(code)
