"""What README and the pages tell to type is there: verbs, options, names of models and data sets, files as shown.

Blocks that are plugins are tried in ``tests/plugins/test_documentation.py``; links and anchors by ``tox -e docs``.
"""

from __future__ import annotations

import configparser
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from bench.cli.app import VERBS, build
from bench.cli.options import OPTIONS, gather
from bench.config.selection import check_names
from bench.config.suites import check_suite, read_suite
from bench.plugins.discovery import discover
from bench.reports.published import read_published
from bench.results.quantities import NAMED
from bench_datasets._table import read_table, split_labels

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *DOCS, ROOT / "results" / "published" / "README.md")
    if page.name != "cli.md"
}
OURS = ("mine", "mine.net", "my.net", "hello.linear")
"""Models that the pages have the reader write."""
PLUGIN = f"""
from bench import ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    return [ModelSpec(name=name, factory=":build") for name in {OURS!r}]

def build(task):
    raise NotImplementedError
"""
ENDS = ("&&", "|", ">", ";")


def block(text: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[tuple[str, ...]]:
    """The command lines of ``bench`` in the blocks of a page, variables as the page sets them, else 1."""
    blocks = [one.replace("\\\n", " ") for one in block(text, "sh", "console")]
    known = dict(re.findall(r'^(\w+)="?(.*?)"?$', "\n".join(blocks), re.MULTILINE))
    found = []
    for line in "\n".join(blocks).splitlines():
        shell = re.sub(r"\$(\w+)", lambda name: known.get(name[1], "1"), line.removeprefix("$ "))
        words = shlex.split(shell, comments=True) if "bench " in shell else []
        for start in (place for place, word in enumerate(words) if word == "bench"):
            end = next((place for place in range(start, len(words)) if words[place] in ENDS), len(words))
            found.append(tuple(words[start + 1 : end]))
    return found


COMMANDS = sorted({command for text in TEXTS.values() for command in commands(text)})


def parsed(words: tuple[str, ...]) -> dict[str, object]:
    """The values of a command line, as its verb would get them; nothing runs."""
    group = typer.main.get_command(build(words))
    with group.make_context("bench", list(words)) as context:
        _, verb, rest = group.resolve_command(context, list(words))
        return verb.make_context(words[0], rest, parent=context).params


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins") / "written.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return discover([path], without=[one.plugin for one in discover().plugins if one.distribution != "bench-audio"])


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 60
    assert {words[0] for words in COMMANDS} > {"run", "check", "new", "sweep", "report", "gate", "predict", "merge"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_a_block_parses_and_names_what_there_is(words, registry) -> None:
    given = parsed(words)
    if words[0] == "bisect":
        given = parsed(("gate", *words[words.index("--") + 1 :]))
    for name in str(given.get("formats") or "").split(","):
        assert not name or registry.reporters[name]
    if given.get("metric") and words[0] != "bisect":
        assert registry.metrics[given["metric"]]
    if not {"models", "dataset"} <= given.keys():
        return
    models = re.sub(r"(hf|onnx|tflite|timm):[^,?]+|aisfx|birdnet:[^,?]+", "mel_statistics", str(given["models"]))
    values = {**given, "models": re.sub(r"\?[^,]*", "", models), "device": "cpu"}
    recipe = given["recipe"]
    if recipe and str(recipe).endswith(".toml"):
        assert (ROOT / str(recipe)).is_file()
        values["recipe"] = str(ROOT / str(recipe))
    if words[0] == "sweep":  # several values of a setting are the sweep's own
        values["overrides"] = [re.sub(r",.*", "", item) for item in given["overrides"] or ()]
    selection, _ = gather({name: value for name, value in values.items() if name in OPTIONS})
    check_names(selection, registry)


def test_options_named_in_running_text_are_the_verbs_own() -> None:
    helped = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").split("\n## bench ")[1:]
    options = {text.split()[0]: set(re.findall(r"--[a-z][a-z-]*", text)) for text in helped}
    assert options.keys() == VERBS.keys()
    named = [
        (page, verb, flag)
        for page, text in TEXTS.items()
        for verb, rest in re.findall(r"`bench ([a-z]+)\b([^`\n]*)`", text)
        for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.partition(" -- ")[0])
    ]
    assert len(named) > 40
    assert [(page, verb, flag) for page, verb, flag in named if flag not in options.get(verb, ())] == []


def test_pages_speak_in_the_words_of_the_field() -> None:
    said = re.compile(r"misfit|\btold from\b|commonest class|\bfeeding fly|\bknee\b|hold against", re.IGNORECASE)
    assert [(page, found) for page, text in TEXTS.items() for found in said.findall(text)] == []


def test_tables_and_files_that_pages_show_can_be_read(tmp_path) -> None:
    table, tags, shown = tmp_path / "my.csv", tmp_path / "tags.csv", tmp_path / "published.toml"
    (text,) = block(TEXTS["docs/own-table.md"], "csv")
    table.write_text(text, encoding="utf-8")
    assert read_table(table).unused == ()
    (text,) = block(TEXTS["docs/multi-label.md"], "csv")
    tags.write_text(text, encoding="utf-8")
    labels = [values["label"] for _, values in read_table(tags).lines]
    assert split_labels(labels) == [("owl", "wind"), ("cricket",)]
    (text,) = block(TEXTS["docs/publish.md"], "toml")
    shown.write_text(text, encoding="utf-8")
    assert read_published(shown)[0].system == "random forest"


def test_the_suite_that_a_page_shows_can_be_read(tmp_path, registry) -> None:
    (text,) = block(TEXTS["docs/read-a-board.md"], "toml")
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    check_suite(read_suite(str(path)), registry)


def test_the_readme_shows_a_board_before_the_fold_and_the_tutorial_its_plugin() -> None:
    readme = TEXTS["README.md"].splitlines()
    assert readme.index("<!-- board:end -->") < 40
    assert block(TEXTS["README.md"], "python")[0] in block(TEXTS["docs/tutorial.md"], "python")


def test_the_navigation_leads_to_every_page_once() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = re.findall(r"\S+\.md", yaml.safe_dump(site["nav"], width=1000))
    assert len(named) == len(set(named))
    assert {name for name in named if name.startswith("docs/")} == {page.relative_to(ROOT).as_posix() for page in DOCS}
    assert all((ROOT / name).is_file() for name in named)
    assert site["theme"]["font"] is False


def test_the_site_is_built_with_what_the_extra_pins() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tox["testenv:docs"]["deps"].split() == project["optional-dependencies"]["docs"]


def test_every_quantity_that_is_shown_has_words_and_no_word_is_left_over() -> None:
    shown = runpy.run_path(str(ROOT / "docs" / "glossary_page.py"))["shown"]()
    glossary = tomllib.loads((ROOT / "docs" / "glossary.toml").read_text(encoding="utf-8"))
    assert {one.name for one in shown} == glossary["quantities"].keys() <= NAMED.keys()
