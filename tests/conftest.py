"""What holds for all tests.

They run the source as it is, and so do the programs that they start. GATEWAY_TEST_INSTALLED=1 makes all of them run the
gateway that is installed, which is a compiled one where there is a C compiler.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it for all children, and some tests send it

if os.environ.get("GATEWAY_TEST_INSTALLED"):
    sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != ROOT), str(ROOT)]


def pytest_sessionstart() -> None:
    if os.environ.get("GATEWAY_TEST_INSTALLED"):
        installed = Path(str(distribution("gateway").locate_file("gateway")))
        if _contents(installed) != _contents(ROOT / "gateway"):
            pytest.exit("the gateway that is installed is not made of this source: make install", 2)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}


def pytest_report_header() -> str:
    import gateway.express

    return f"gateway: {gateway.express.__file__}"
