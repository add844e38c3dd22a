"""Code of others, by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gateway.extensions import BALANCERS, found, imported, installed, is_import_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with an entry point `theirs`; the name of its module."""
    (tmp_path / "their_package.py").write_text("class Outer:\n    Inner = 'found'\n", "utf-8")
    (tmp_path / "broken_package.py").write_text("1 / 0\n", "utf-8")
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[{BALANCERS}]\ntheirs = their_package:Outer.Inner\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("their_package", "broken_package"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "their_package"


@pytest.mark.parametrize("text", ["a:b", "a.b:c", "a.b_c:D.e"])
def test_import_paths_have_a_module_and_an_attribute(text: str):
    assert is_import_path(text)


@pytest.mark.parametrize("text", ["", "a", "a:", ":a", "a:b:c", "a b:c", "1a:b", "a.:b", "p2c"])
def test_other_names_are_none(text: str):
    assert not is_import_path(text)


def test_an_import_path_leads_into_a_module(package: str):
    assert found(f"{package}:Outer.Inner", BALANCERS) == "found"


def test_an_entry_point_is_found_by_its_name(package: str):
    assert found("theirs", BALANCERS) == "found"
    assert list(installed(BALANCERS)) == ["theirs"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no_such_package:A", "No module named 'no_such_package'"),
        ("their_package:Outer.Other", "has no attribute 'Other'"),
        ("broken_package:A", "division by zero"),
    ],
)
def test_what_cannot_be_imported_says_why(package: str, path: str, why: str):
    with pytest.raises(ImportError, match=f"^{path}: .*{why}"):
        imported(path)


def test_a_name_that_nobody_has_installed_is_told():
    with pytest.raises(ImportError, match='no installed package has "ours"'):
        found("ours", BALANCERS)
