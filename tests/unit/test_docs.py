"""What the documents claim is tried: their configurations, commands, code, links and tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import errors
from gateway.admin.cache import OTHERS
from gateway.cache.reuse import Verdict
from gateway.cache.status import WORDS, Forward, Outcome
from gateway.cache.storable import Refusal
from gateway.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CACHING = ROOT / "docs" / "caching.md"
DOCUMENTS = [README, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]+)?(?:#([^)\s]+))?\)")
VERBS = {"run", "proxy", "check", "schema", "status", "reload", "drain", "enable"}


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line[2:] for block in blocks(README, "console") for line in block.splitlines() if line.startswith("$ ")]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("configuration", [*blocks(README, "toml"), *blocks(CACHING, "toml")])
def test_every_configuration_that_is_shown_passes_the_check(
    configuration: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "certs").mkdir()
    for name in ("site.pem", "site.key"):
        (tmp_path / "certs" / name).touch()
    file = tmp_path / "routes.toml"
    file.write_text(configuration if "[[routes]]" in configuration else f'{configuration}\n[[routes]]\nupstream = "http://a"')

    assert main(["check", "-c", str(file)]) == 0
    assert capsys.readouterr().err == ""  # no warning either


@pytest.mark.parametrize("name", ["routes.toml", "samples/compose.toml"])
def test_the_configurations_of_the_repository_pass_the_check(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "-c", str(ROOT / name)]) == 0
    assert capsys.readouterr().err == ""


def test_the_readme_shows_the_faults_that_the_check_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shown = next(block for block in blocks(README, "console") if block.startswith("$ cat bad.toml\n"))
    configuration, _, faults = shown.removeprefix("$ cat bad.toml\n").partition("$ .venv/bin/gateway check -c bad.toml\n")
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(configuration)

    assert main(["check", "-c", "bad.toml"]) == 1
    assert capsys.readouterr().err == faults


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_the_code_of_the_readme_makes_an_app(code: str):
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    assert callable(names["app"])


def test_every_make_target_of_the_readme_exists():
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b(?! sure)", README.read_text("utf-8")))
    assert {"run", "test", "check"} <= named
    assert named <= made


def test_every_gateway_command_of_the_readme_is_understood():
    named = [match for command in commands() if (match := re.match(r"(?:\.venv/bin/)?gateway (\w+)(.*)", command))]
    assert named
    for match in named:
        with pytest.raises(SystemExit) as ended:
            main([match[1], *match[2].split(), "--help"])
        assert ended.value.code == 0
        assert match[1] in VERBS


def test_the_flags_for_uvicorn_exist():
    from uvicorn.main import main as uvicorn

    options = {name for parameter in uvicorn.params for name in (*parameter.opts, *parameter.secondary_opts)}
    command = next(command for command in commands() if command.startswith("uvicorn"))
    assert set(re.findall(r"--[a-z-]+", command)) <= options


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_link_leads_somewhere(document: Path):
    for path, heading in LINK.findall(document.read_text("utf-8")):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{relative(document)} -> {path}"
        if heading:
            assert heading in headings(target), f"{relative(document)} -> {path}#{heading}"


def headings(document: Path) -> set[str]:
    """As they are in links: lowercase, without punctuation, with hyphens."""
    lines = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_way_to_fail_is_in_the_table_with_its_status_and_type():
    text = (ROOT / "docs" / "forwarding.md").read_text("utf-8")
    told = {(int(status), kind) for status, kind in re.findall(r"\| (\d{3})[^|]*\| `(\w+)` \|", text)}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.GatewayError)]
    assert {(one.status, one.proxy_error) for one in classes} == told


def first_column(document: Path, header: str) -> str:
    """Of the table whose first column has this header."""
    table = document.read_text("utf-8").partition(f"\n| {header} |")[2].partition("\n\n")[0]
    return "\n".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE))


def test_every_value_of_cache_status_is_explained_and_no_other():
    everything = Outcome(Forward.STALE, ttl=1, detail=b"word")
    everything.fwd_status, everything.stored, everything.collapsed = 304, True, True
    said = b"; ".join((everything.value(), Outcome(ttl=1).value())).decode()
    told = first_column(CACHING, "Value")
    assert set(re.findall(r"; ([a-z-]+)", told)) == set(re.findall(r"; ([a-z-]+)", said)) - {"gateway"}
    assert set(re.findall(r"fwd=([a-z-]+)", told)) == {why.decode() for name, why in vars(Forward).items() if name.isupper()}


def test_every_reason_to_store_nothing_is_explained_and_no_other():
    assert sorted(re.findall(r"`([^`]+)`", first_column(CACHING, "`detail`"))) == sorted(refusal.value for refusal in Refusal)


def test_every_verdict_on_an_entry_is_explained_and_no_other():
    told = re.findall(r"`([^`]+)`", first_column(CACHING, "Verdict on an entry"))
    assert sorted(told) == sorted([OTHERS, *(verdict.value for verdict in Verdict)])


def test_the_results_that_are_counted_are_shown():
    shown = next(block for block in blocks(CACHING, "console") if "hit ratio" in block)
    [header] = re.findall(r"^route  requests  (.*)  hit ratio$", shown, re.MULTILINE)
    assert tuple(header.split()) == WORDS


def test_the_map_names_all_that_there_is_and_nothing_else():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    table = text.partition("## Code map")[2].partition("\n## ")[0]
    cells = "".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE))
    named = {name.rstrip("/") for name in re.findall(r"`([^`]+)`", cells)}
    inside = ROOT / "gateway"
    there = {path.name for path in inside.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in named if not (inside / name).exists()} == set()
    assert there - named == {"__init__.py", "__main__.py"}


def test_the_map_is_short():
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("decision", DECISIONS, ids=relative)
def test_a_decision_is_short_and_says_context_choice_and_cost(decision: Path):
    lines = decision.read_text("utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith(f"# {decision.name[:4]}: ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Choice", "## Cost"]


def test_no_two_decisions_have_the_same_number():
    numbers = [decision.name[:4] for decision in DECISIONS]
    assert len(set(numbers)) == len(numbers)
