"""What measures a row for one side of a gate: forks of an image, none of which finds anything of another."""

import os
from dataclasses import replace

import pytest

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.running.process import COMMAND
from bench.studies.gate.jobs import plan_jobs
from bench.studies.gate.sides import Side

pytestmark = pytest.mark.usefixtures("warm_workers")

SEEN = """

SEEN = []


def build(task):
    import os
    from pathlib import Path

    SEEN.append(None)
    with Path("builds.txt").open("a") as file:
        file.write(f"{os.getpid()} {len(SEEN)}\\n")
    return Toy(task)
"""


def test_each_process_is_a_fork_of_its_image_and_finds_nothing_of_the_one_before(repository, tmp_path):
    plugin = repository / "toy.py"
    plugin.write_text(plugin.read_text().replace("def build(task):\n    return Toy(task)\n", SEEN))
    settings = Settings(out=tmp_path / "out", plugins=(plugin,))
    jobs = plan_jobs(Selection(models=("toy",), datasets=("demo",), device="cpu"), settings, strict=True)
    side = Side("base", {row: replace(job, timeout_s=600.0) for row, job in jobs.items()}, COMMAND)
    (row,) = side.jobs
    (repository / "builds.txt").unlink(missing_ok=True)
    try:
        side.start()
        found = [side.measure(row, "count"), *(side.measure(row) for _ in range(2))]
    finally:
        side.close()
    assert [set(values) >= {"latency", "host_memory"} for values in found] == [False, True, True]
    builds = [line.split() for line in (repository / "builds.txt").read_text().splitlines()]
    assert {count for _, count in builds} == {"1"}
    pids = {int(pid) for pid, _ in builds}
    assert len(pids) == 3
    assert os.getpid() not in pids
