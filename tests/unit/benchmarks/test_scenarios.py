"""What is measured beside other proxies: every scenario is explained, and is what it is called."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from benchmarks.contenders import articles
from benchmarks.scenarios import QUICK, SCENARIOS

README = Path(__file__).parents[3] / "benchmarks" / "README.md"


def explained() -> list[str]:
    """The names in the table of scenarios; `routes-100, -1000` are two."""
    table = README.read_text("utf-8").partition("\n| scenario | |\n")[2].partition("\n\n")[0]
    names: list[str] = []
    for cell in re.findall(r"^\| ([a-z][^|]*) \|", table, re.MULTILINE):
        first, *others = cell.split(", ")
        names += [first, *(first.rpartition("-")[0] + other for other in others)]
    return names


def test_every_scenario_is_explained_and_no_other():
    assert sorted(explained()) == sorted(scenario.name for scenario in SCENARIOS)
    assert set(QUICK) <= set(explained())


@pytest.mark.parametrize("size", [1000, 51200])
def test_the_json_that_is_compressed_is_of_its_size_and_always_the_same(size: int):
    text = articles(size)
    assert (len(text), articles(size)) == (size, text)
    listed = json.loads(text)
    assert len({one["id"] for one in listed}) == len(listed) > size // 200
    assert size / 8 < len(gzip.compress(text.encode())) < size / 2
