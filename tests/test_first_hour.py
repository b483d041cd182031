"""The first hour as a reader has it: README and tutorial followed in a fresh environment, every block as printed.

On demand (``tox -e readme``, minutes of training). The environment is a new venv. Where this process has torch, a .pth
line lets the venv see what is installed here, so that ``pip install .`` adds nothing but the wheel; in
``tox -e readme`` it has not, and the same command installs everything. Two tables below say what is not as printed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sysconfig
import venv
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", ROOT / "docs" / "tutorial.md") if page.is_file()]
THOROUGH = os.environ.get("BENCH_THOROUGH") == "1"

INSTEAD = {
    # Not installed at that place of the page.
    r"bench check hello\.linear$": r"\g<0> --plugin bench_hello.py",
    # The tests' own, where the venv sees what is installed here.
    r"^pytest ": "python -m pytest ",
    # Trains hours on recordings that the reader downloads: planned, on a few made ones of the same layout.
    r"bench run (?!.*hf:)(.*--dataset esc50.*)": r"bench plan \1 --data esc50",
    # Of the reader's encoder: on one fold of those clips, of which there are four to train on for each class.
    r"(bench (?:run|sweep) .*hf:[^#]*--dataset esc50[^#]*)": r"\1 --data esc50 --folds 1 ",
    r"recipe\.shots=1,2,4,8,16": "recipe.shots=1,2",
    r'"esc10", data="\.\.\.", folds=\(1,\)': '"demo", limit=40',
}
LEFT_OUT = {
    r"ast-audioset": "needs downloaded weights: tests/plugins runs it on made ones, tests/test_pages.py parses it",
    r"--dataset digits": "needs its recordings: tests/test_pages.py parses it",
    r"\btox\b": "is what runs this",
}
ENCODER = """
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel
small = dict(hidden_size=16, num_hidden_layers=9, num_attention_heads=2, intermediate_size=32)
ASTModel(ASTConfig(**small, max_length=128, num_mel_bins=64)).save_pretrained("my-encoder")
ASTFeatureExtractor(max_length=128, num_mel_bins=64).save_pretrained("my-encoder")
"""
"""Saves what the page calls the reader's own encoder."""


def steps(text: str) -> Iterator[tuple[str, str]]:
    """What a reader does, in order: ``("sh", command)``, ``("python", program)`` or ``(file name, content)``."""
    typed = r"`(bench (?:run|check|new) [^`]*[a-z0-9])`"
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        plugin = False
        for one in re.finditer(rf"^```(\w+)\n(.*?)^```|{typed}", section, re.DOTALL | re.MULTILINE):
            language, content, said = one.groups()
            if said and plugin:  # running text tells what to type of the plugin above it
                yield "sh", " ".join(said.split())
            elif language in ("sh", "console"):
                lines = content.replace("\\\n", " ").splitlines()
                yield from (("sh", line.removeprefix("$ ")) for line in lines if line.strip())
            elif language == "python" and "@hookimpl" in content:
                plugin = True
                before = re.findall(r"`([\w/-]+\.py)`", section[: one.start()])
                yield (before[-1] if before else re.findall(r"([\w/-]+\.py)\b", section[one.end() :])[0]), content
            elif language == "python":
                yield "python", content


def as_run(words: str) -> str:
    """What is run for a command or a program of a page; empty where it is left out."""
    if any(re.search(pattern, words) for pattern in LEFT_OUT):
        return ""
    for pattern, instead in INSTEAD.items():
        words = re.sub(pattern, instead, words)
    return words


def sound(path: Path, seconds: float = 1.0) -> None:
    """Noise, another one in each file: clips with the same samples are one recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(random.Random(path.name).randbytes(int(seconds * 32000)))


def fill(folder: Path) -> None:
    """What the reader has: the sources, recordings of their own, and ESC-50 (a clip a class and fold)."""
    for name in ("bench", "plugins", "datasets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    sound(folder / "recordings" / "one.wav")
    sound(folder / "recordings" / "two.wav", 7.5)
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(250):
        fold, target = number // 50 + 1, number % 50
        lines.append(f"{fold}-{number}-A-{target}.wav,{fold},{target},class {target},False,{number},A")
        sound(folder / "esc50" / "audio" / f"{fold}-{number}-A-{target}.wav")
    (folder / "esc50" / "meta").mkdir()
    (folder / "esc50" / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """The variables of a shell in which a new venv is active."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=True)
    site = next(folder.glob("lib/python*/site-packages"))
    if importlib.util.find_spec("torch"):
        (site / "installed_here.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        for name in {point.dist.name for point in importlib.metadata.entry_points(group="bench")} - {"bench-audio"}:
            hidden = site / f"{name.replace('-', '_')}-0.dist-info"  # its plugins are not the reader's
            hidden.mkdir()
            (hidden / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n", encoding="utf-8")
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BENCH", "TOX", "PIP"))}
    made = kept | {"PATH": path, "VIRTUAL_ENV": str(folder), "BENCH_CACHE": str(folder / "cache")}
    if not importlib.util.find_spec("torch"):
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "pytest"], check=True, env=made)
    return made


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_command_of_a_page_is_a_step(page) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(steps(text))
    fences = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines() if line.strip()]
    assert [line for line in lines if ("sh", line.removeprefix("$ ")) not in found] == []
    assert "bench_hello.py" in [kind for kind, _ in found]
    assert sum(kind == "sh" and bool(as_run(words)) for kind, words in found) >= 7


@pytest.mark.skipif(not THOROUGH, reason="a new venv and minutes of training: tox -e readme")
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_followed_in_a_fresh_environment(page, environment, tmp_path) -> None:
    fill(tmp_path)
    python = shutil.which("python", path=environment["PATH"])
    for kind, printed in steps(page.read_text(encoding="utf-8")):
        if kind not in ("sh", "python"):
            (tmp_path / kind).write_text(printed, encoding="utf-8")
            continue
        words = as_run(printed)
        if "./my-encoder" in words and not (tmp_path / "my-encoder").is_dir():
            subprocess.run([python, "-c", ENCODER], cwd=tmp_path, env=environment, check=True, timeout=300)
        done = subprocess.run(
            ["bash", "-c", words] if kind == "sh" else [python, "-c", words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3000, check=False,
        )  # fmt: skip
        if done.returncode and words.startswith("pip install") and "hatchling" in done.stderr:
            pytest.skip("the wheel cannot be built here: no registry gives hatchling")
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr, f"{words}\n{done.stderr[-3000:]}"
