"""`python -m benchmarks.instructions`: how many instructions the compiled gateway takes for a request, and where.

valgrind counts them on the road of `road.py`, from when bytes come from a client or a target until the callback returns. A
count is the same on every day and on every machine of a kind, to a tenth of a per cent; so it shows what a change brings
where times would be lost in noise. It knows nothing of caches and of the kernel: what counts in the end is `make bench`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.processes import on_installed
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable

COUNT: Final = 2000  # requests; the first of them, which fill the memos, are among them
COLLECTED: Final = ("protocol___GatewayProtocol___data_received", "connection___Connection___data_received")
WANTED: Final = tuple(wanted.name for wanted in SCENARIOS if wanted.targets == wanted.routes == wanted.workers == 1 and not wanted.idle)
_ENTRY: Final = re.compile(r"\((\d+)\)(?: (.*))?")


class Counts:
    """own: instructions of each function itself. within: with those that it calls."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.own: Counter[str] = Counter()
        self.within: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._read(lines)

    def _read(self, lines: Iterable[str]) -> None:
        """The format of callgrind: `fn=` and `cfn=` name a function and one that it calls, and after `calls=` the next cost
        is the callee's."""
        function = callee = ""
        is_call = False
        for line in lines:
            if line.startswith("fn="):
                function = self._name(line[3:])
            elif line.startswith("cfn="):
                callee = self._name(line[4:])
            elif line.startswith("calls="):
                is_call = True
            elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
                cost = int(line.split()[-1])
                if is_call:
                    is_call = False
                    if callee != function:
                        self.within[function] += cost
                else:
                    self.own[function] += cost
                    self.within[function] += cost

    def _name(self, text: str) -> str:
        """Each name is told once and has a number from then on. A recursive call has a mark behind its name."""
        matched = _ENTRY.match(text.strip())
        assert matched is not None
        if matched[2]:
            self._names[matched[1]] = re.sub(r"'\d+$", "", matched[2])
        return self._names[matched[1]]


def readable(name: str) -> str | None:
    """The Python name of a compiled function; None for all others."""
    return ".".join(name.removeprefix("CPyDef_").split("___")) if name.startswith("CPyDef_") else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Instructions for a request.")
    parser.add_argument("scenario", nargs="?", default="forward-1k", choices=WANTED)
    parser.add_argument("--same", action="store_true", help="all requests alike, in place of varied ones")
    parser.add_argument("--top", type=int, default=40, help="functions of the gateway to show (40)")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        out = Path(folder) / "callgrind"
        toggles = [f"--toggle-collect=CPyDef_{name}" for name in COLLECTED]
        drive = on_installed("benchmarks.drive", options.scenario, str(COUNT))
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *toggles, *drive]
        done = subprocess.run(command + ["--same"] * options.same, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        with out.open() as lines:
            counts = Counts(lines)
    total = sum(counts.own.values())
    if not total:
        print("the gateway that is installed is not compiled; `make install` does it where a C compiler is", file=sys.stderr)
        return 1
    print(f"{total / COUNT:8.0f} instructions a request\n")
    shown = [(cost, text) for name, cost in counts.within.items() if (text := readable(name))]
    for cost, text in sorted(shown, reverse=True)[: options.top]:
        print(f"{cost / COUNT:8.0f}{cost / total:6.0%}  {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
