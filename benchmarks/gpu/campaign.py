"""Every GPU test and publishable GPU cell in priority order, resumable, each part within minutes.

``benchmarks/gpu/run --data DIR --out DIR`` on the machine with the GPU. What a part leaves lies under ``DIR/NAME``; a
second call goes on where the first one stopped. ``--list`` shows the parts; ``--device cpu --dry`` runs all of them on
generated sounds with a few clips, to prove the commands before a machine is spent on them.

Exit status: 0 all parts done, 1 a part failed, 3 time ran out and a part is unfinished.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
PART_S = 540.0
"""Largest time of one part: below the ten minutes that a lent machine may give a command."""
TOTAL_S = 1500.0
GRACE_S = 20.0
BENCH = (sys.executable, "-P", "-m", "bench")
DRY = ("--recipe", "smoke")
SMALL = {
    "documented": "classical.knn",
    "meamtm.base": "meamtm.micro",
    "1,4,16,64,256": "1,2",
    "1,5,15": "1,2",
    "default": "avmae.tiny",
}
"""What stands for the large ones in a dry run."""


@dataclass(frozen=True, slots=True)
class Part:
    """One step of the campaign.

    Attributes:
        name: Folder of its results.
        why: What it is for.
        command: Without device, data and output, which are added.
        cells: Whether it runs cells (and so takes ``--data``, ``--out``, ``--device``).
        dataset: Its data set; a dry run takes the demo instead.
        limit: Whether a dry run may cut it to a few clips (``--limit``).
    """

    name: str
    why: str
    command: tuple[str, ...]
    cells: bool = True
    dataset: str = "esc10"
    limit: bool = False


PARTS: tuple[Part, ...] = (
    Part("tests", "the tests marked gpu", (sys.executable, "-P", "-m", "pytest", "-qm", "gpu", "tests"), cells=False),
    Part("doctor", "state of the machine, beside every number", (*BENCH, "doctor", "--json"), cells=False),
    Part("speed", "speed and memory of the default models, fp32",
         (*BENCH, "run", "--models", "default", "--no-evaluate")),
    Part("frontends", "the front-end study: speed, memory, parity", (*BENCH, "frontends", "--model", "meamtm.micro")),
    Part("documented", "speed and memory of the documents' own sizes, fp32",
         (*BENCH, "run", "--models", "documented", "--no-evaluate")),
    Part("bf16", "the same in bf16", (*BENCH, "run", "--models", "documented", "--no-evaluate", "--precision", "bf16")),
    Part("esc10", "ESC-10, recipe full, three seeds",
         (*BENCH, "run", "--models", "default,classical.forest_tuned", "--recipe", "full", "--seeds", "0,1,2",
          "--no-profile", "--no-keep-checkpoints"), limit=True),
    Part("stacked", "clips/s of 1, 5 and 15 cells, one by one and as one network",
         (sys.executable, "-P", "benchmarks/stacked.py", "--cells", "1,5,15"), cells=False),
    Part("pretrain", "masked pre-training and fine-tuning, ESC-50, fold 1",
         (*BENCH, "run", "--models", "avmae.tiny,avmae.tiny_finetune", "--recipe", "full", "--folds", "1",
          "--no-profile", "--no-keep-checkpoints"), dataset="esc50", limit=True),
    Part("esc50", "ESC-50, recipe full, five folds, one seed",
         (*BENCH, "run", "--models", "default,classical.forest_tuned", "--recipe", "full", "--no-profile",
          "--no-keep-checkpoints"), dataset="esc50", limit=True),
    Part("saturation", "throughput over batch sizes and the largest batch",
         (*BENCH, "profile", "meamtm.base", "--batch", "1,4,16,64,256", "--largest")),
    Part("trace", "where the time of meamtm.micro goes",
         (*BENCH, "profile", "meamtm.micro", "--batch", "16", "--trace")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the campaign is run."""

    device: str
    data: Path | None
    out: Path
    dry: bool

    def command(self, part: Part) -> list[str]:
        """The whole command line of a part."""
        words = list(part.command)
        if not part.cells:
            return [SMALL.get(word, word) for word in words] if self.dry else words
        if self.dry:
            words = [SMALL.get(word, word) for word in _without(words, ("--recipe", "--folds", "--seeds", "--largest"))]
            words += ["--dataset", "demo", *DRY, *(("--limit", "8") if part.limit else ())]
        else:
            words += ["--dataset", part.dataset]
        if self.data is not None and not self.dry:
            words += ["--data", str(self.data)]
        return [*words, "--device", self.device, "--out", str(self.out / part.name)]


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in names:
            skip = word != "--largest"
        else:
            kept.append(word)
    return kept


def run_part(part: Part, options: Options, limit_s: float) -> tuple[str, float]:
    """Run one part within its time: ``done``, ``failed`` (with its exit status) or ``unfinished``; and the seconds."""
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with (options.out / f"{part.name}.txt").open("ab") as output:  # beside the run folder, which is bench's own
        process = subprocess.Popen(
            options.command(part), stdout=output, stderr=subprocess.STDOUT, cwd=HERE, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            _stop(process)
            return "unfinished", time.monotonic() - start
        except KeyboardInterrupt:
            _stop(process)
            raise
    return ("done" if status == 0 else f"failed ({status})"), time.monotonic() - start


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask for a resumable end, then insist; the part's workers go with it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_state(path: Path) -> dict[str, str]:
    """Outcome of each part so far."""
    return json.loads(path.read_text()) if path.is_file() else {}


def campaign(parts: Sequence[Part], options: Options, total_s: float) -> Mapping[str, str]:
    """Run what is not done yet, in order, and keep the account in ``state.json``."""
    path = options.out / "state.json"
    options.out.mkdir(parents=True, exist_ok=True)
    state = read_state(path)
    deadline = time.monotonic() + total_s
    for part in parts:
        left = deadline - time.monotonic()
        if state.get(part.name) == "done":
            print(f"{part.name}: done before", flush=True)
            continue
        if left < 2 * GRACE_S:
            state[part.name] = state.get(part.name, "unfinished")
            print(f"{part.name}: no time left", flush=True)
            continue
        print(f"{part.name}: {part.why} ...", flush=True)
        state[part.name], seconds = run_part(part, options, min(PART_S, left - GRACE_S))
        print(f"{part.name}: {state[part.name]} after {seconds:.0f} s", flush=True)
        path.write_text(json.dumps(state, indent=1) + "\n")
    path.write_text(json.dumps(state, indent=1) + "\n")
    return state


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--data", type=Path, default=None, help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS), help="names, comma-separated")
    parser.add_argument("--minutes", type=float, default=TOTAL_S / 60, help="stop starting work after this")
    parser.add_argument("--dry", action="store_true", help="few generated clips, to try the commands")
    parser.add_argument("--list", action="store_true", help="show the parts and their commands")
    given = parser.parse_args()
    known = {part.name: part for part in PARTS}
    names = [name for name in given.parts.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no part {unknown[0]!r}; known: {', '.join(known)}")
    options = Options(
        device=given.device, data=given.data.resolve() if given.data else None, out=given.out.resolve(), dry=given.dry
    )
    chosen = [part for part in PARTS if part.name in names]
    if given.list:
        for part in chosen:
            print(f"{part.name:12} {part.why}\n{'':12} {' '.join(options.command(part))}")
        return 0
    outcomes = campaign(chosen, options, 60 * given.minutes)
    mine = [outcomes[part.name] for part in chosen]
    if any(outcome.startswith("failed") for outcome in mine):
        return 1
    return 0 if all(outcome == "done" for outcome in mine) else 3


if __name__ == "__main__":
    raise SystemExit(main())
