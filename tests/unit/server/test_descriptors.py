"""The limit of open files."""

from __future__ import annotations

import resource
import subprocess
import sys

LOWERED = """
import resource
from gateway.server.descriptors import raise_file_limit
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert raise_file_limit() == hard
assert raise_file_limit() == hard
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_a_process_may_open_as_many_files_as_the_system_lets_it():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = subprocess.run([sys.executable, "-c", LOWERED], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == hard
