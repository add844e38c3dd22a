from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.admin.handover import passed_in, taken_over

if TYPE_CHECKING:
    from pathlib import Path


def test_what_systemd_passes_to_another_process_is_not_ours():
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDNAMES": "http", "OTHER": "stays"}
    assert passed_in(environ) == []
    assert environ == {"OTHER": "stays"}  # nor its children's


@pytest.mark.parametrize("count", ["", "x", "-1"])
def test_a_count_that_is_none_passes_nothing(count: str):
    assert passed_in({"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())}) == []


def test_an_offer_that_nobody_stands_by_gives_nothing(tmp_path: Path):
    dead = tmp_path / "1.take"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    assert taken_over([tmp_path / "none.take", dead]) == ([], None)
