"""Gates as they run, ``bench gate --against HEAD~1`` in a repository of two revisions, one line a gate.

``python benchmarks/gate_power/live.py --to live.jsonl [--gates 20] [--minutes 1.5]``; called again it goes on. The
conditions take turns: unchanged, 2 % and 5 % more layers, a hundredth of the process's memory held besides, and
unchanged under a load that comes and goes. `judge.py --live` puts them on the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bank import BURN, LAYERS, WIDTH

CONDITIONS = {
    "unchanged": (LAYERS, 0.0, "infer_throughput"),
    "5 % slower": (LAYERS + 5, 0.0, "infer_throughput"),
    "2 % slower": (LAYERS + 2, 0.0, "infer_throughput"),
    "1 % more memory": (LAYERS, 0.01, "host_memory"),
    "unchanged, load comes and goes": (LAYERS, 0.0, "infer_throughput"),
}
"""Condition to layers, share of memory held, and the quantity that should show it."""

PLUGIN = """
from pathlib import Path
from bench import Clips, DatasetSpec, ModelSpec, hookimpl

LAYERS, SHARE, WIDTH = {layers}, {share}, {width}
HELD = []

@hookimpl
def bench_add_models():
    return [ModelSpec(name="subject.stack", factory=":build", frontend=None)]

@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="subject", load=":load", needs_files=False, groups="source", protocols=("4+1",))]

def load(_root):
    import numpy as np

    count = 80
    def audio(i):
        return (0.1 * np.random.default_rng(i).standard_normal(800)).astype(np.float32), 8000
    return Clips(
        title="Noise (generated)", ids=tuple(map(str, range(count))), targets=np.arange(count) % 2,
        label_names=("a", "b"), audio=audio, sample_rate=8000, clip_samples=800, manifest_sha256="subject",
        folds=(np.arange(count) * 5 // count + 1).astype(np.int64), groups=tuple(map(str, range(count))),
    )

def build(task):
    import torch

    if SHARE:
        status = Path("/proc/self/status").read_text()
        own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
        HELD.append(b"x" * int(SHARE * own * 1024))

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
            self.out = torch.nn.Linear(WIDTH, task.num_classes)

        def forward(self, audio):
            return self.out(self.layers(audio[:, :WIDTH]))

    return Stack()
"""


def git(folder: Path, *words: str) -> None:
    """Run git with an author of its own."""
    who = {f"GIT_{who}_{what}": "gate@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "-C", str(folder), *words], env=os.environ | who, check=True, capture_output=True)


@contextlib.contextmanager
def load(*, wanted: bool) -> Iterator[None]:
    """Two programs that burn and rest."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2 if wanted else 0)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def gate(condition: str, minutes: float) -> dict[str, object]:
    """One gate."""
    layers, share, quantity = CONDITIONS[condition]
    with tempfile.TemporaryDirectory() as folder, load(wanted="load" in condition):
        root = Path(folder) / "work"
        root.mkdir()
        git(root, "init", "-q")
        for number, (count, held) in enumerate([(LAYERS, 0.0), (layers, share)]):
            text = PLUGIN.format(layers=count, share=held, width=WIDTH)
            (root / "plugin.py").write_text(f"# {number}\n{text}", encoding="utf-8")
            git(root, "add", "-A")
            git(root, "commit", "-q", "-m", str(number))
        verdict, start = Path(folder) / "verdict.json", time.monotonic()
        command = [sys.executable, "-P", "-m", "bench", "gate", "--against", "HEAD~1", "--plugin", "plugin.py"]
        command += ["--models", "subject.stack", "--dataset", "subject", "--minutes", str(minutes)]
        command += ["--json", str(verdict), "--out", str(Path(folder) / "out")]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        spent = (time.monotonic() - start) / 60
        if not verdict.is_file():
            raise SystemExit(f"the gate ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        findings = json.loads(verdict.read_text(encoding="utf-8"))["findings"]
    status = next((one["status"] for one in findings if one["quantity"] == quantity), "missing")
    others = sorted({one["quantity"] for one in findings if one["status"] == "regression"})
    return {"condition": condition, "status": status, "minutes": spent, "blamed": others, "exit": done.returncode}


def main() -> int:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("results/runs/gate_power_live.jsonl"))
    parser.add_argument("--gates", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1.5)
    asked = parser.parse_args()
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    done = len(asked.to.read_text(encoding="utf-8").splitlines()) if asked.to.is_file() else 0
    for number in range(done, asked.gates):
        found = gate([*CONDITIONS][number % len(CONDITIONS)], asked.minutes)
        with asked.to.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
