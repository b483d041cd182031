"""The page: self-contained, the same bytes again, small, and working in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import builtin
from bench.__main__ import main
from bench.analysis.board import build_board
from bench.analysis.model import Board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports.html import render
from bench.reports.plots import pareto
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=16000",
)  # fmt: skip
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")


@pytest.fixture(scope="module")
def page(golden_board):
    return render(golden_board)


def test_the_same_again(page, golden_board):
    assert render(golden_board) == page


def test_nothing_is_requested(page):
    assert "default-src 'none'" in page
    for name in ("src", "href"):
        for value in re.findall(rf'\b{name}="([^"]*)"', page):
            assert value.startswith(("data:", "#")), value
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)


def test_what_must_be_said_is_on_the_page(page):
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for words in (
        "alpha.tiny", "planned 3400 s, budget 120 s", "the loss became NaN in epoch 3", "few seeds (1 of at least 3)",
        "Elsewhere-1", "always the majority class", "Minimum detectable difference", "bench run --models alpha.tiny",
        "Speed on" if "Speed on" in text else "Other CPU", "not a whole JSON file", "Test OS 1",
    ):  # fmt: skip
        assert words in text, words
    assert page.count("<svg") == 4 + 4
    assert page.count("<figure>") == page.count("<svg")


def test_ids_are_unique_and_references_lead_somewhere(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|aria-controls="([^"]+)"', page):
        assert "".join(target) in ids


def test_scores_by_cell_carry_their_unit(page, samples, tmp_path):
    assert "<h3>Cells, %</h3>" in page
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("m"), 0.8)
    options = {"metrics": samples.METRICS, "predictions": store.predictions, "metric": "log_loss"}
    made = render(build_board(store.records()[0], **options))
    assert "<h3>Cells, nats</h3>" in made
    assert "Rank is the interval of places" in page
    assert "Rank is the interval of places" not in made, "nothing is ranked there"


def test_text_of_records_is_escaped(samples, tmp_path):
    from bench.analysis.board import build_board
    from bench.results.store import Store

    record = samples.ended(Store(tmp_path), samples.cell("a"), "failed", "raised", "train", "<script>alert(1)</script>")
    page = render(build_board([record], metrics=METRICS))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_empty_board_is_a_page():
    page = render(Board(sections=(), problems=(), environments=(), published=(), records=0))
    assert "No records." in page


def test_forty_models_stay_below_one_megabyte(samples, tmp_path, monkeypatch):
    import numpy as np

    from bench.analysis.board import build_board
    from bench.results.store import Store

    monkeypatch.setattr(samples, "LABELS", tuple(f"class number {i}" for i in range(50)))
    monkeypatch.setattr(samples, "CLIPS", 100)
    monkeypatch.setattr("bench.results.store.os.fsync", lambda handle: None)
    plain = samples.fold_arrays

    def long_curves(*arguments):
        noise = np.random.default_rng(0).random(80)
        return {**plain(*arguments), "curve_train_loss": np.exp(-np.arange(80) / 30) + 0.05 * noise}

    monkeypatch.setattr(samples, "fold_arrays", long_curves)
    store = Store(tmp_path)
    for model in range(40):
        name = f"family{model // 4}.variant{model % 4}"
        for fold in range(1, 6):
            samples.evaluated(store, samples.cell(name, fold), 0.3 + 0.015 * model)
        samples.profiled(store, samples.cell(name, 0, kind="profile"), 10.0 + model)
    page = render(build_board(store.records()[0], metrics=METRICS, predictions=store.predictions))
    assert page.count('class="entry"') == 40
    assert len(page.encode()) < 1_000_000


@pytest.mark.parametrize(
    ("points", "lower", "expected"),
    [
        ([], True, []),
        ([(1, 0.9), (1, 0.8)], True, [0]),
        ([(1, 0.5), (2, 0.6), (3, 0.55)], True, [0, 1]),
        ([(1, 0.5), (2, 0.6), (3, 0.55)], False, [1, 2]),
    ],
)
def test_pareto_front(points, lower, expected):
    assert pareto(points, lower_is_better=lower) == expected


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_in_both_themes(page):
    """WCAG 2.2: 4.5 for text, 3 for marks, on each of the page's backgrounds."""
    blocks = re.findall(r"--bg:[^}]+", page)
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks]
    assert len(themes) == 3
    assert themes[1] == themes[2]
    for theme in themes:
        for ground in ("bg", "panel", "band"):
            for name, least in (("fg", 4.5), ("muted", 4.5), ("link", 4.5), ("accent", 3), ("second", 3)):
                pair = sorted((_luminance(theme[name]), _luminance(theme[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, (name, ground, theme)


HERE = Path(__file__).resolve().parents[1] / "golden"
AXE = Path(os.environ.get("BENCH_AXE") or "no axe.min.js")
PUBLISHED = HERE.parents[1] / "results" / "published"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="BENCH_AXE names no axe.min.js (npm pack axe-core)")
thorough = pytest.mark.skipif(os.environ.get("BENCH_THOROUGH") != "1", reason="every page: tox -e axe")
WIDTHS, THEMES = (1400, 390), ("light", "dark")
OUTER = """<!doctype html><body><script>
var frames = FRAMES, answers = {};
function next() {
  var one = frames.shift(), frame = document.createElement("iframe");
  if (!one) {
    var copy = document.createElement("pre");
    copy.id = "answer";
    copy.textContent = JSON.stringify(answers);
    document.body.appendChild(copy);
    return;
  }
  frame.src = one[0]; frame.style = "height:900px;width:" + one[1] + "px";
  document.body.appendChild(frame);
  var wait = setInterval(function () {
    var found = frame.contentDocument && frame.contentDocument.getElementById("probe");
    if (!found) { return; }
    clearInterval(wait);
    answers[one[0]] = JSON.parse(found.textContent);
    frame.remove();
    next();
  }, 50);
}
next();
</script></body>"""
"""Only the outer document is dumped, so the frames' reports are copied out; a phone is a narrow frame."""


def script(content: str) -> str:
    return f"<script>{content}</script>"


def browse(pages: dict[str, tuple[str, str, int]], folder: Path) -> dict[str, Any]:
    """What the probes saw: one browser opens every page (content, probe, width), each in a frame of its own."""
    catch = script((HERE / "page_catch.js").read_text(encoding="utf-8"))
    for name, (content, looks, _) in pages.items():
        inner = content.replace("<style>", catch + "<style>", 1).replace("</body>", looks + "</body>")
        (folder / name).write_text(inner, encoding="utf-8")
    frames = json.dumps([[name, width] for name, (*_, width) in pages.items()])
    (folder / "outer.html").write_text(OUTER.replace("FRAMES", frames), encoding="utf-8")
    command = [
        CHROMIUM, *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}",
        "--window-size=1500,1000", "--dump-dom", (folder / "outer.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer, f"no answer from the page: {done.stdout[-500:]} {done.stderr[-1500:]}"
    return json.loads(html.unescape(answer[1]))


def judged(page: str) -> dict[str, tuple[str, str, int]]:
    """The page with every row open, to be judged by axe at each width in each theme."""
    axe = script(AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")) + script(
        "document.querySelectorAll('.more').forEach(function (b) { b.click(); });"
        "axe.run(document, {resultTypes: ['violations']}).then(function (r) { window.__report(r.violations.map("
        "function (v) { return [v.id, v.nodes.slice(0, 3).map(function (n) { return n.html.slice(0, 200); })]; }"
        ")); });"
    )
    themed = {theme: page.replace('<html lang="en">', f'<html lang="en" data-theme="{theme}">') for theme in THEMES}
    return {f"{theme}-{width}.html": (themed[theme], axe, width) for theme in THEMES for width in WIDTHS}


@pytest.fixture(scope="module")
def browsed(page, tmp_path_factory) -> dict[str, Any]:
    """What probes and, where there is one, axe found in the golden page, by file name."""
    probe = script((HERE / "page_probe.js").read_text(encoding="utf-8"))
    pages = {f"{width}.html": (page, probe, width) for width in WIDTHS}
    return browse(pages | (judged(page) if AXE.is_file() else {}), tmp_path_factory.mktemp("browser"))


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser(browsed, golden_board, width):
    rows = golden_board.sections[0].rows
    found = browsed[f"{width}.html"]
    assert found["errors"] == []
    assert found["requests"] == []
    names = [row.key.model for row in rows]
    assert found["start"] == found["again"] == names
    results = sorted((row for row in rows if row.value is not None), key=lambda row: -row.value)
    assert found["best"][: len(results)] == [row.key.model for row in results]
    assert found["worst"][: len(results)] == [row.key.model for row in reversed(results)]
    assert set(found["best"][len(results) :]) == set(names) - {row.key.model for row in results}
    assert found["sorted"] == "descending"
    assert found["names"] == sorted(names)
    assert found["focused"]
    assert found["found"] == ["zeta.base"]
    assert found["count"].endswith("rows shown")
    assert found["cleared"] == len(names)
    assert found["none"] == ["eta.text", "theta", "zeta.base"]
    assert found["closed"]
    assert found["reach"]
    assert found["open"] == [True, "true", True]
    assert found["speed"] > 0
    assert found["nospeed"] == 0
    assert found["theme"][0] != found["theme"][1]
    assert found["width"][0] <= found["width"][1], "the page itself must not scroll sideways"


@needs_browser
@needs_axe
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_accessibility_by_axe(browsed, theme, width):
    assert browsed[f"{theme}-{width}.html"] == []


@needs_browser
@needs_axe
@thorough
@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*/*.html")), ids=lambda path: path.parent.name)
def test_accessibility_of_published_pages(path, tmp_path):
    pages = judged(path.read_text(encoding="utf-8"))
    assert browse(pages, tmp_path) == {name: [] for name in pages}


@needs_browser
@needs_axe
@thorough
@pytest.mark.usefixtures("warm_workers")
def test_accessibility_of_the_page_of_a_run(tmp_path):
    out = ["--recipe", "smoke", "--limit", "40", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main(["run", "--models", "classical.forest,mel_statistics", "--dataset", "demo", *out]) == 0
    page = (tmp_path / "run" / "leaderboard.html").read_text(encoding="utf-8")
    pages = judged(page)
    assert browse(pages, tmp_path) == {name: [] for name in pages}
    bad = judged(page.replace("</main>", '<img src="data:,"></main>'))
    found = browse(bad, tmp_path)
    assert {name: [rule for rule, _ in found[name]] for name in found} == {name: ["image-alt"] for name in bad}
