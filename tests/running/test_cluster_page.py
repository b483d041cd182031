"""The commands of docs/cluster.md as they stand: a stand-in for sbatch runs the tasks of an array on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
PLUGIN = Path(__file__).with_name("contract_plugin.py")
SBATCH = r"""#!/bin/sh
for word in "$@"; do case $word in --array=1-*) tasks=${word#--array=1-} ;; --*) ;; *) script=$word ;; esac; done
for task in $(seq 1 "${tasks:-1}"); do
  SLURM_ARRAY_TASK_ID=$task sh -e "$script" >"$script.$task.out" 2>&1 &
done
wait
echo 17
"""


def block(title: str) -> str:
    """The commands that begin with ``# title``."""
    (found,) = re.findall(rf"```sh\n# {re.escape(title)}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return found


@pytest.mark.slow
def test_an_array_of_shards_gives_one_board(tmp_path: Path) -> None:
    for name, content in {
        "bench": f'#!/bin/sh\nexec {sys.executable} -P -m bench "$@"\n', "sbatch": SBATCH,
    }.items():  # fmt: skip
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("array.sbatch", "board.sbatch"):
        (tmp_path / name).write_text(block(name))
    small = f"--models does.good --dataset beats --recipe smoke --device cpu --no-profile --plugin {PLUGIN} --jobs 1"
    (tmp_path / "campaign.sh").write_text(re.sub('SELECTION=".*"', f'SELECTION="{small}"', block("campaign.sh")))
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "BENCH_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-e", "-c", block("on the login node")], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    said = "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.out")))
    assert done.returncode == 0, done.stderr
    shards = re.findall(r"--shard (\d)/4 +(\d)", done.stdout)
    assert shards == [("1", "2"), ("2", "1"), ("3", "1"), ("4", "1")]
    records, bad = Store(tmp_path / "campaign").records()
    assert ([record.status for record in records], bad) == (["ok"] * 5, []), said
    assert (tmp_path / "campaign" / "leaderboard.md").is_file(), said
