import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.admin.control import ControlDirectory, control_directories, control_directory


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_socket_is_there_while_its_process_serves_and_nobody_else_may_open_it(base: Path):
    directory = control_directory("routes.toml")
    with directory.bind():
        assert directory.sockets() == {os.getpid(): directory.path / f"{os.getpid()}.sock"}
        assert [stat.S_IMODE(path.stat().st_mode) for path in (directory.path, directory.path.parent)] == [0o700, 0o700]
    directory.release()
    assert not directory.path.exists()
    assert directory.sockets() == {}


def test_one_file_is_one_directory_however_it_is_called(base: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(base)
    (base / "link.toml").symlink_to("routes.toml")
    (base / "routes.toml").touch()
    names = ["routes.toml", Path("routes.toml"), str(base / "routes.toml"), "link.toml", "./x/../routes.toml"]
    assert len({control_directory(name).path for name in names}) == 1
    assert control_directory("other.toml").path != control_directory("routes.toml").path


def test_the_socket_of_a_dead_process_of_the_same_number_is_replaced(base: Path):
    directory = control_directory("routes.toml")
    directory.bind().close()
    with directory.bind():
        assert len(directory.sockets()) == 1


def test_the_directory_stays_while_others_are_in_it(base: Path):
    directory = control_directory("routes.toml")
    other = directory.path / "1.sock"
    with directory.bind(), socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(other))
        sock.listen()
        directory.release()
        assert directory.sockets() == {1: other}
    directory.release()  # the other died meanwhile
    assert not directory.path.exists()


def test_drained_targets_are_kept_beside_the_sockets(base: Path):
    directory = control_directory("routes.toml")
    with directory.bind():
        assert directory.drained() == []
        directory.keep_drained(["api/http://a:1"])
        directory.release()
    assert directory.drained() == ["api/http://a:1"]
    directory.keep_drained([])
    assert directory.drained() == []


@pytest.mark.parametrize("text", ["", "{", "7", '{"a": 1}', '[1, null]', '"x"'])
def test_what_is_not_a_list_of_names_drains_nothing(base: Path, text: str):
    directory = control_directory("routes.toml")
    directory.path.mkdir(parents=True)
    (directory.path / "drained.json").write_text(text)
    assert directory.drained() == []


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_not_used(base: Path, mode: int):
    directory = control_directory("routes.toml")
    directory.path.parent.mkdir(mode=0o700)
    directory.path.parent.chmod(mode)
    with pytest.raises(PermissionError):
        directory.bind()


def test_a_link_in_the_place_of_the_directory_is_not_followed(base: Path):
    elsewhere = base / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    directory = control_directory("routes.toml")
    directory.path.parent.symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        directory.bind()


def test_a_path_too_long_for_a_socket_is_said_so(tmp_path: Path):
    with pytest.raises(OSError, match="at most 107 bytes"):
        ControlDirectory(tmp_path / ("x" * 120)).bind()


def test_root_finds_the_processes_of_every_user(base: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    mine = control_directory("routes.toml")
    monkeypatch.setattr(os, "getuid", lambda: 1001)
    (base / "gateway-1001").mkdir()
    control_directory("other.toml").path.mkdir()
    mine.path.mkdir(parents=True)
    assert [directory.path for directory in control_directories("routes.toml")] != [mine.path]
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert [directory.path for directory in control_directories("routes.toml")] == [mine.path]


def test_what_is_no_socket_of_a_process_is_left_out(base: Path):
    directory = control_directory("routes.toml")
    directory.path.mkdir(parents=True)
    for name in ("12.sock", "x.sock", "12.txt", "drained"):
        (directory.path / name).touch()
    assert list(directory.sockets()) == [12]
