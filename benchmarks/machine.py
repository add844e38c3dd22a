"""What the kernel says about this machine and about a process with all its descendants."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Final

TICK: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
NEEDED: Final = ("nginx", "wrk", "taskset")  # nginx is the origin and the measure of the others


def missing() -> list[str]:
    """What a run can not do without, in words; empty where all is there."""
    lacks = [f"{tool} is not installed" for tool in NEEDED if shutil.which(tool) is None]
    if not PROC.joinpath("self", "stat").exists():
        lacks.append("there is no /proc to read CPU times from (Linux has one)")
    if len(os.sched_getaffinity(0)) < 2:
        lacks.append("two cores are needed: one for the proxy, one for load and origin")
    return lacks


def cores(workers: int) -> tuple[list[int], int]:
    """The proxy's, one for each worker as far as there are enough, and the one of load generator and origin."""
    *free, load = sorted(os.sched_getaffinity(0))
    return free[:workers], load


def raise_file_limit() -> int:
    """How many files and sockets this process and its children may have open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Watch:
    """Measures between its making and `read`: the CPU time of a process tree, and what others used of its cores."""

    def __init__(self, root: int, proxy_cores: list[int]) -> None:
        self._root = root
        self._cores = proxy_cores
        self._began = time.monotonic()
        self._cpu = cpu_seconds(root)
        self._busy = sum(map(busy_seconds, proxy_cores))

    def read(self) -> tuple[float, float, float]:
        """CPU seconds of the tree, and as shares of one core: the tree's, everybody else's on the proxy's cores."""
        cpu = cpu_seconds(self._root) - self._cpu
        busy = sum(map(busy_seconds, self._cores)) - self._busy
        elapsed = time.monotonic() - self._began
        return cpu, cpu / elapsed, max(0.0, busy - cpu) / elapsed


def cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants, those that have ended and were waited for included."""
    return sum(sum(_times(pid)) for pid in tree(root)) / TICK


def busy_seconds(core: int) -> float:
    for line in PROC.joinpath("stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, irq, soft_irq, stolen = map(int, fields[:8])
            return (user + nice + system + irq + soft_irq + stolen) / TICK
    raise ValueError(f"there is no core {core}")


def resident_bytes(root: int) -> int:
    """Memory of the process tree; pages that its processes share count for each of them."""
    pages = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            pages += int(PROC.joinpath(str(pid), "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _times(pid: int) -> list[int]:
    """utime, stime, cutime and cstime in ticks (proc(5))."""
    return [int(field) for field in _stat(pid)[11:15]]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything; empty where the process has ended."""
    try:
        text = PROC.joinpath(str(pid), "stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
