"""Make the generated pages and tables, or check that they are what the code and the records give.

``python docs/generate.py`` writes, ``python docs/generate.py --check`` exits with 1 and names what differs.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bench
from bench.analysis.comparison import Source, compare, parse_choice
from bench.cli.app import VERBS
from bench.cli.compare import sentence
from bench.cli.formats import write_board
from bench.cli.report import load_board
from bench.cli.sweep import sweep_files
from bench.config.recipes import BUILTIN, resolve
from bench.metrics.scoring import catalog
from bench.plugins import hookspecs
from bench.plugins.discovery import discover
from bench.plugins.registry import Registry
from bench.recipe import Recipe
from bench.reports.formatting import percent, significant, trained
from bench.reports.published import find_published, read_published
from bench.results.store import Store
from bench.running.prices import SHIPPED

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Made by `python docs/generate.py`; edit the code it describes. -->\n\n"
FINDINGS_NOTE = "<!-- Made by `python docs/generate.py` of results/published/findings.json. -->\n\n"
CLAIMS_NOTE = "<!-- Made by `python docs/generate.py` of docs/claims.toml and results/published. -->\n\n"
FINDINGS_INTRO = """What the five source documents and common practice do to a number, measured. Each entry names
its source, what was done here, the number with its spread, one command that makes it again, and what bench does
instead. Origins: *measured* by running code, *computed* from published figures, *cited* as published.
`python benchmarks/findings --check` compares every number with its stored value and tolerance.

"""
GPU_INTRO = """# What waits for a GPU

`benchmarks/gpu/run --data DIR --out DIR` fills this table from the top, each part within nine minutes, all within 25;
called again, it goes on where it stopped. `--device cpu --dry` tries every command on a machine without a GPU. Until a
part is measured, the published tables have no GPU row for it, and the tests marked `gpu` skip.

"""
OUR = "bench-audio"
SHOWN = next(name for name in ("esc10-nested", "esc10-full") if (ROOT / "results" / "published" / name).is_dir())
"""The published run that the README shows: the first that is there."""
FORMATS = {".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex", ".html": "html"}
"""The formats compared with their records."""


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 where something differs")
    checking = parser.parse_args().check
    stale = []
    for path, content in pages():
        if path.is_file() and _words(path, path.read_text(encoding="utf-8")) == _words(path, content):
            continue
        stale.append(path.relative_to(ROOT))
        if not checking:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    broken = list(broken_links())
    for item in stale:
        print(f"{'stale' if checking else 'wrote'}: {item}")
    for item in broken:
        print(f"broken link: {item}")
    return 1 if broken or (checking and stale) else 0


def _words(path: Path, content: str) -> str:
    """A file without its pictures, which depend on the version of matplotlib."""
    return re.sub(r"<svg.*?</svg>", "", content, flags=re.DOTALL) if path.suffix == ".html" else content


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold."""
    registry = discover(without=[p.plugin for p in discover().plugins if p.distribution != OUR])
    yield ROOT / "docs" / "hooks.md", hooks_page()
    operators = ROOT / "plugins" / "bench_plugins" / SHIPPED
    yield operators, runpy.run_path(str(ROOT / "docs" / "operators.py"))["page"](registry, operators)
    yield ROOT / "docs" / "reference.md", reference_page(registry)
    datasets = runpy.run_path(str(ROOT / "docs" / "datasets_page.py"))["page"]
    published = ROOT / "results" / "published"
    yield ROOT / "docs" / "datasets.md", NOTE + datasets(published, registry.datasets.specs(), table)
    yield ROOT / "docs" / "cli.md", cli_page()
    yield ROOT / "docs" / "findings.md", findings_page(ROOT / "results" / "published" / "findings.json")
    claims = runpy.run_path(str(ROOT / "docs" / "claims_page.py"))["page"]
    counted = {spec.name: spec.parameters for spec in registry.models.specs()}
    yield ROOT / "docs" / "claims.md", CLAIMS_NOTE + claims(counted, table)
    yield ROOT / "docs" / "gpu-pending.md", gpu_page(ROOT / "results" / "published" / "gpu")
    readme, board = ROOT / "README.md", ROOT / "results" / "published" / SHOWN
    yield readme, with_parts(readme, {"families": family_table(registry), "board": board_table(board)})
    guide = ROOT / "docs" / "plugins.md"
    yield guide, with_parts(guide, runpy.run_path(str(ROOT / "docs" / "plugins_page.py"))["parts"](table))
    numbers = ROOT / "docs" / "numbers.md"
    yield (
        numbers,
        with_parts(numbers, runpy.run_path(str(ROOT / "docs" / "glossary_page.py"))["parts"](registry, table)),
    )
    rules = ROOT / "docs" / "translate.md"
    yield rules, with_parts(rules, runpy.run_path(str(ROOT / "docs" / "translate_page.py"))["parts"](published, table))
    house = ROOT / "docs" / "architecture.md"
    yield house, with_parts(house, {"rooms": room_table(), "layers": layer_list()})
    yield from boards(registry)
    yield from comparisons(registry)
    yield from sweeps()


def hooks_page() -> str:
    """Signature and docstring of every hook."""
    parts = [NOTE, "# Hooks\n\n", (inspect.getdoc(hookspecs) or "") + "\n"]
    for name, function in sorted(vars(hookspecs).items()):
        if name.startswith("bench_") and callable(function):
            signature = str(inspect.signature(function)).replace("'", "")
            parts.append(f"\n## `{name}`\n\n```python\ndef {name}{signature}\n```\n\n{inspect.getdoc(function)}\n")
    parts.append("\n# What they return, and what it names\n\nEvery field is checked when a plugin is discovered.\n")
    for name in bench.__all__:
        if name.endswith("Spec") or name in ("Clips", "Divide", "TaskInfo"):
            parts.append(f"\n## `bench.{name}`\n\n```text\n{inspect.getdoc(getattr(bench, name))}\n```\n")
    return "".join(parts)


def reference_page(registry: Registry) -> str:
    """Models, data sets, front ends, protocols, recipes and metrics as tables."""
    parts = [NOTE, "# What comes with bench\n"]
    parts.append("\n## Models\n\n" + model_table(registry))
    rows = [
        (f"`{s.name}`", s.description, s.groups or "-", ", ".join(s.protocols), s.license or "-")
        for s in registry.datasets.specs()
    ]
    parts.append("\n## Data sets\n\n" + table(("name", "what", "groups", "protocols", "licence"), rows))
    rows = [(f"`{s.name}`", s.description, "yes" if s.trainable else "no") for s in registry.frontends.specs()]
    parts.append("\n## Front ends\n\n" + table(("name", "what", "trainable"), rows))
    rows = [
        (f"`{s.name}@{s.version}`", s.description, ", ".join(s.needs) or "-", "yes" if s.ranked else "no")
        for s in registry.protocols.specs()
    ]
    parts.append("\n## Protocols\n\n" + table(("name", "what", "needs of a data set", "ranked"), rows))
    rows = [(f"`{s.name}`", s.description, s.unit or "-") for s in registry.metrics.specs()]
    parts.append("\n## Scores\n\n" + table(("name", "what", "unit"), rows))
    parts.append("\n## Recipes\n\n" + recipe_table())
    return "".join(parts)


def model_table(registry: Registry) -> str:
    """One row per model."""
    rows = []
    for spec in (*registry.models.specs(), *registry.references.specs()):
        size = "-" if spec.parameters is None else f"{spec.parameters:,}"
        inputs = "+".join(spec.modalities)
        rows.append((f"`{spec.usage}`", size, inputs, spec.frontend or "waveform", spec.description))
    return table(("name", "parameters", "inputs", "front end", "what"), rows)


def recipe_table() -> str:
    """Every setting, its default and what the built-in recipes make of it, before a model's own differences."""
    resolved = [resolve(name) for name in BUILTIN]
    rows = []
    for key, info in Recipe.model_fields.items():
        if key not in ("name", "tuned_on"):
            rows.append((f"`{key}`", str(info.default), *(str(getattr(r, key)) for r in resolved)))
    return table(("setting", "default", *BUILTIN), rows)


def family_table(registry: Registry) -> str:
    """One row per family, for the README."""
    families: dict[str, list[str]] = {}
    for spec in registry.models.specs():
        families.setdefault(spec.family, []).append(spec.name)
    rows = []
    for family, names in families.items():
        default = next((n for n in names if "default" in registry.models[n].spec.sets), names[0])
        variants = ", ".join(n.partition(".")[2] for n in names[:9]) + (", ..." if len(names) > 9 else "")
        rows.append((f"`{family}`", f"`{default}`", str(len(names)), variants))
    return table(("family", "default", "models", "variants"), rows)


def board_table(folder: Path) -> str:
    """The published board that the README shows, in short."""
    import pandas as pd

    board = pd.read_csv(folder / "leaderboard.csv")
    rows = []
    for row in board[board["status"] == "ok"].itertuples():
        accuracy = f"{percent(row.value)} [{percent(row.low)}, {percent(row.high)}]"
        speed = significant(row.infer_clips_per_s) if row.infer_clips_per_s > 0 else "-"
        latency = significant(1e3 * row.latency_median_s) if row.latency_median_s > 0 else "-"
        size = f"{row.parameters / 1e6:.2f} M" if row.parameters > 0 else "-"
        name = trained(f"`{row.model}`", str(row.mode), str(row.weights))
        rows.append((name, accuracy, row.tie if row.ranked else "not ranked", size, speed, latency))
    header = ("model", "accuracy %, 95 % interval", "tie", "parameters", "clips/s", "latency ms")
    return table(header, rows)


def findings_page(stored: Path) -> str:
    """The measured faults of the source documents, made of what ``benchmarks/findings`` stored."""
    content = json.loads(stored.read_text(encoding="utf-8"))
    findings: dict[str, Any] = content["findings"]
    parts = [FINDINGS_NOTE, "# Findings\n\n", FINDINGS_INTRO]
    rows = []
    for name, finding in findings.items():
        first = finding["numbers"][0]
        rows.append((f"[{finding['title']}](#{name})", f"{amount(first)}: {first['what']}"))
    parts.append(table(("finding", "number"), rows))
    for name, finding in findings.items():
        rows = [(n["what"], amount(n), n["spread"] or "-", n["origin"]) for n in finding["numbers"]]
        parts.append(f'\n<a id="{name}"></a>\n\n## {finding["title"]}\n\n')
        for key, word in (("source", "Source"), ("practice", "Practice"), ("method", "Done here")):
            parts.append(f"**{word}.** {finding[key]}\n\n")
        parts.append(table(("number", "value", "spread", "origin"), rows))
        parts.append(f"\n**Instead.** {finding['instead']}\n\nAgain: `python benchmarks/findings {name}`\n")
    made_with = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return "".join(parts) + f"\nMade with {made_with}, one thread, no GPU.\n"


def gpu_page(measured: Path) -> str:
    """What has been measured on a GPU, and what the next run there fills."""
    parts = runpy.run_path(str(ROOT / "benchmarks" / "gpu" / "campaign.py"))["PARTS"]
    rows = []
    for part in parts:
        done = (measured / part.name).is_dir()
        rows.append(
            (f"`{part.name}`", part.why, part.dataset if part.cells else "-", "yes" if done else "not measured")
        )
    return NOTE + GPU_INTRO + table(("part", "what it fills", "data", "measured"), rows)


def amount(number: dict[str, Any]) -> str:
    """Value and unit as the page shows them; what is below a millionth is rounding and shown as 0."""
    value = number["value"]
    text = f"{value:,}".replace(",", " ") if isinstance(value, int) else significant(value if value > 1e-6 else 0.0)
    return f"{text} {number['unit']}".strip()


def cli_page() -> str:
    """``--help`` of every verb."""
    parts = [NOTE, "# Command line\n\n```\n", help_of(), "```\n"]
    for verb in VERBS:
        parts.append(f"\n## bench {verb}\n\n```\n{help_of(verb)}```\n")
    return "".join(parts)


def help_of(*words: str) -> str:
    """Help text at a fixed width."""
    command = [sys.executable, "-P", "-m", "bench", *words, "--help"]
    env = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    text = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def contracts() -> configparser.ConfigParser:
    """What ``lint-imports`` reads."""
    parser = configparser.ConfigParser()
    parser.read_string((ROOT / ".importlinter").read_text(encoding="utf-8"))
    return parser


def layer_rows() -> list[tuple[str, list[str]]]:
    """Of each row of the house, top to bottom: what separates its rooms, and the rooms."""
    lines = contracts()["importlinter:contract:layers"]["layers"].split("\n")
    rows = [("|" if "|" in line else ":", line) for line in lines if line.strip()]
    return [(sign, [room.strip() for room in line.split(sign)]) for sign, line in rows]


def layer_list() -> str:
    """The rows, and in words what else ``lint-imports`` holds the code to."""
    joined = {"|": " | ", ":": ", "}
    rows = [joined[sign].join(f"`{room}`" for room in rooms) for sign, rooms in layer_rows()]
    parser = contracts()
    more = [parser[name]["name"] for name in parser.sections() if name.count(":") == 2 and not name.endswith(":layers")]
    numbered = [f"{number}. {row}" for number, row in enumerate(rows, start=1)]
    return "\n".join([*numbered, "", *(f"- {sentence}." for sentence in more)]) + "\n"


def room_table() -> str:
    """What each room holds, as the first sentence of its own docstring says."""
    rows = []
    for name in (room for _, rooms in layer_rows() for room in rooms):
        folder = (ROOT / "bench" / name).is_dir()
        file = ROOT / "bench" / name / "__init__.py" if folder else ROOT / "bench" / f"{name}.py"
        doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        rows.append((f"`{name}/`" if folder else f"`{name}.py`", doc.splitlines()[0].replace("``", "`")))
    return table(("room", "holds"), rows)


def with_parts(page: Path, made: Mapping[str, str]) -> str:
    """A page with its generated parts, each between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``, replaced."""
    text = page.read_text(encoding="utf-8")
    for name, content in made.items():
        pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text = pattern.sub(lambda found, content=content: found.group(1) + content + found.group(2), text)
    return text


def boards(registry: Registry) -> Iterator[tuple[Path, str]]:
    """Every published leaderboard, made again from its records."""
    import tempfile

    for folder in sorted((ROOT / "results" / "published").iterdir()):
        if not (folder / "records").is_dir():
            continue
        context = find_published(folder)
        board = load_board(Store(folder), registry, read_published(context) if context else ())
        present = [name for suffix, name in FORMATS.items() if (folder / f"leaderboard{suffix}").is_file()]
        with tempfile.TemporaryDirectory() as scratch:
            for made in write_board(board, registry, present, Path(scratch)):
                yield folder / Path(made).name, Path(made).read_text(encoding="utf-8")


def comparisons(registry: Registry) -> Iterator[tuple[Path, str]]:
    """Every ``compare.txt``: under each command that stands in it the sentence which that gives."""
    for path in sorted((ROOT / "results" / "published").glob("*/compare.txt")):
        store, lines = Store(path.parent), list[str]()
        source = Source(predictions=store.predictions, metrics=catalog(registry), planned=store.planned())
        for command in path.read_text(encoding="utf-8").splitlines():
            if command.startswith("$ bench compare "):
                a, b = map(parse_choice, shlex.split(command)[3:5])
                verdicts, _ = compare(store.records()[0], a, b, source)
                lines += [command, *map(sentence, verdicts)]
        yield path, "\n".join(lines) + "\n"


def sweeps() -> Iterator[tuple[Path, str]]:
    """Page and table of every published sweep: what its JSON gives today."""
    for path in sorted((ROOT / "results" / "published").glob("*/sweep.json")):
        made = sweep_files(json.loads(path.read_text(encoding="utf-8")))
        for name in ("sweep.md", "sweep.csv", "sweep.json"):
            yield path.with_name(name), str(made[name])


def broken_links() -> Iterator[str]:
    """Relative links of the pages that lead nowhere."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)} -> {target}"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
