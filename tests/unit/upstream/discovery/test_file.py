"""A file of targets that is watched: replaced, broken, mended and removed."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest

from gateway.config import Discover
from gateway.upstream.discovery import DISCOVERIES
from gateway.upstream.discovery.found import DiscoveryError, Found, Spec

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.upstream.discovery import Discovery

A, B = "http://192.0.2.1:80", "http://192.0.2.2:80"


def replace(path: Path, text: str) -> None:
    """As careful writers do: beside it, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(text, "utf-8")
    os.replace(beside, path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "targets.toml"
    path.write_text(f'targets = ["{A}"]', "utf-8")
    return path


@pytest.fixture
def watched(path: Path) -> Discovery:
    options = Discover(file=path, refresh=0.5)
    return DISCOVERIES[options.kind](options)


def look(discovery: Discovery) -> Found:
    return asyncio.run(discovery.look_up())


def urls(discovery: Discovery) -> list[str]:
    return [spec.url for spec in look(discovery).specs]


def test_the_file_says_all_that_the_configuration_could(path: Path, watched: Discovery):
    path.write_text(f'targets = ["{A}", {{ url = "{B}", weight = 3, priority = 1, backup = true }}]')
    assert look(watched) == Found((Spec(A), Spec(B, 3, 1, True)), 0.5)


def test_json_says_the_same(tmp_path: Path):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps({"targets": [A, {"url": B, "weight": 3}]}))
    options = Discover(file=path)
    assert look(DISCOVERIES["file"](options)) == Found((Spec(A), Spec(B, 3)), 1.0)


def test_a_file_that_was_replaced_is_read_again(path: Path, watched: Discovery):
    assert urls(watched) == [A]
    replace(path, f'targets = ["{B}"]')
    assert urls(watched) == [B]


def test_a_file_that_is_the_same_is_not_read_again(watched: Discovery):
    assert look(watched) is look(watched)


def test_a_broken_file_is_a_fault_with_its_place_until_it_is_mended(path: Path, watched: Discovery):
    assert urls(watched) == [A]
    replace(path, 'targets = [\n  "192.0.2.1:80",\n]')
    for _ in range(2):
        with pytest.raises(DiscoveryError, match=r'targets\.toml:2: targets\[0\]\.url: .*write "http://192\.0\.2\.1:80"'):
            look(watched)
    replace(path, f'targets = ["{B}"]')
    assert urls(watched) == [B]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets = [", "is not TOML"),
        ('targets = ["http://a", "http://a"]', "is there twice"),
        ('targets = ["asgi://a:b"]', "an app of this process cannot come and go"),
        ('target = ["http://a"]', "unknown key; did you mean"),
        ("targets = 5", "a list is wanted"),
        ("", "targets: is missing"),
    ],
)
def test_what_the_configuration_would_refuse_is_refused(path: Path, watched: Discovery, text: str, message: str):
    replace(path, text)
    with pytest.raises(DiscoveryError, match=message):
        look(watched)


def test_json_that_is_none_or_no_table_is_refused(tmp_path: Path):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps({"targets": [A]}))
    watched = DISCOVERIES["file"](Discover(file=path))
    for text, message in (("{", "is not JSON"), (f'["{A}"]', r'is not a table; write \{"targets"'), ('{"targets": [5]}', "a table is wanted")):
        replace(path, text)
        with pytest.raises(DiscoveryError, match=message):
            look(watched)


def test_a_file_that_is_not_text_is_refused(path: Path, watched: Discovery):
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DiscoveryError, match="is not TOML"):
        look(watched)


def test_a_file_that_has_gone_is_a_fault_and_read_when_it_is_back(path: Path, watched: Discovery):
    assert urls(watched) == [A]
    text = path.read_text()
    path.unlink()
    with pytest.raises(DiscoveryError, match="cannot be read: No such file"):
        look(watched)
    path.write_text(text)
    assert urls(watched) == [A]


def test_an_empty_list_is_an_answer(path: Path, watched: Discovery):
    replace(path, "targets = []")
    assert urls(watched) == []
