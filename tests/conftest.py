"""What holds for all tests.

They run the source as it is. Programs that they start are those of the environment, and GATEWAY_TEST_INSTALLED=1 makes
all tests run the gateway that is installed, which is a compiled one where there is a C compiler.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = Path(str(distribution("gateway").locate_file("gateway")))  # is not there where the installation is editable

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")

if os.environ.get("GATEWAY_TEST_INSTALLED"):
    sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != ROOT), str(ROOT)]


def pytest_sessionstart() -> None:
    sources = {path.relative_to(ROOT / "gateway"): path for path in (ROOT / "gateway").rglob("*.py")}
    copies = {path.relative_to(INSTALLED): path for path in INSTALLED.rglob("*.py")}
    if copies and (
        copies.keys() != sources.keys() or any(copies[name].read_bytes() != sources[name].read_bytes() for name in sources)
    ):
        pytest.exit("the gateway that is installed is not made of this source: make install", 2)


def pytest_report_header() -> str:
    import gateway.express

    return f"gateway: {gateway.express.__file__}"
