"""The workflows of ``docs/ci.md``, run by their own commands on a repository with two revisions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from bench.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.DOTALL)
GITHUB, GITLAB = (yaml.safe_load(block) for block in BLOCKS[:2])
INSTALL = "pip install bench-audio"

PLUGIN = """
import time
from bench import Clips, DatasetSpec, ModelSpec, hookimpl

WIDTH, SECONDS = {width}, {seconds}

@hookimpl
def bench_add_models():
    options = {{"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0}}
    return [ModelSpec(name="mine", factory=":build", frontend="torchaudio", frontend_options=options)]

@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="blips", load=":load", needs_files=False, groups="source", protocols=("4+1",))]

def load(_root):
    import numpy as np

    count = 40
    def audio(i):
        return (0.1 * np.random.default_rng(i).standard_normal(800)).astype(np.float32), 8000
    return Clips(
        title="Blips", ids=tuple(map(str, range(count))), targets=np.arange(count) % 2, label_names=("a", "b"),
        audio=audio, sample_rate=8000, clip_samples=800, manifest_sha256="blips",
        folds=(np.arange(count) * 5 // count + 1).astype(np.int64), groups=tuple(map(str, range(count))),
    )

def build(task):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.LazyLinear(WIDTH)
            self.out = torch.nn.Linear(WIDTH, task.num_classes)

        def forward(self, audio):
            time.sleep(SECONDS)
            return self.out(self.hidden(audio.flatten(1)).relu())

    return Net()
"""
TIMES = "[latency]\nrelative = 0.5\n"
COUNTS = "".join(f"[{name}]\nskip = true\n" for name in ("latency", "throughput", "host_memory", "device_memory"))
ONLY_LATENCY = TIMES + "".join(f"[{name}]\nskip = true\n" for name in ("throughput", "host_memory", "flops"))


class Job:
    """A clone with a target branch, as a runner checks it out, and the commands that stand in for those of a forge."""

    def __init__(self, root: Path, processes, policy: str) -> None:
        self.root, self.work, self.policy = root, root / "work", policy
        tools = root / "bin"
        tools.mkdir()
        processes.run([sys.executable, "-P", "-m", "bench", "--version"], check=True, capture_output=True)
        self.put(tools / "bench", WARM.format(tests=str(ROOT / "tests"), address=processes.Popen.image.address))
        for name in ("gh", "curl"):
            self.put(tools / name, f'#!/bin/sh\nprintf "%s\\n" "$@" > {root}/comment\n')
        known = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.env = {**os.environ, **known, "PATH": f"{tools}:{os.environ['PATH']}", "BENCH_CACHE": str(root / "cache")}
        self.env |= {"MODELS": "mine", "DATASET": "blips", "MINUTES": "60"}

    def put(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def git(self, *words: str, cwd: Path | None = None) -> str:
        command = ["git", "-C", str(cwd or self.work), *words]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout.strip()

    def revisions(self, *changes: dict[str, float]) -> None:
        server = self.root / "server"
        self.work = server
        subprocess.run(["git", "init", "-q", "-b", "main", str(server)], check=True)
        (server / "gate.toml").write_text(self.policy)
        for number, change in enumerate(changes):
            if number == 1:
                self.git("checkout", "-q", "-b", "change")
            values = {"width": 8, "seconds": 0, **change}
            (server / "plugin.py").write_text(PLUGIN.format(**values) + f"# {number}\n")
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"revision {number}")
        self.work = self.root / "work"
        self.git("clone", "-q", str(server), str(self.work), cwd=self.root)

    def shell(self, script: str, **env: str) -> int:
        command = ["bash", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.work, env=self.env | env, capture_output=True, text=True, check=False)
        self.said = done.stdout + done.stderr
        return done.returncode

    def github(self) -> int:
        """The steps in their order, as a runner goes through them; the status of the first that fails."""
        values = {"github.token": "t", "github.event.pull_request.number": "12"}
        env = {"GITHUB_BASE_REF": "main", "RUNNER_TEMP": str(self.root), "GITHUB_STEP_SUMMARY": str(self.root / "page")}
        failed, log = 0, ""
        for step in GITHUB["jobs"]["gate"]["steps"]:
            if "run" not in step or step["run"] == INSTALL or (failed and step.get("if") != "always()"):
                continue
            own = {key: re.sub(r"\$\{\{ (.*?) }}", lambda m: values[m[1]], v) for key, v in step.get("env", {}).items()}
            status = self.shell(step["run"], **env, **own)
            log += self.said
            failed = failed or status
        self.said = log
        return failed

    def gitlab(self) -> int:
        """The script, and whatever its status is what comes after it."""
        job = GITLAB["gate"]
        env = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": self.git("rev-parse", "origin/main"), "COMMENT_TOKEN": "t"}
        env |= {"CI_API_V4_URL": "https://git.test/api/v4", "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "7"}
        assert job["before_script"] == [INSTALL]
        status = self.shell("\n".join(job["script"]), **env)
        said = self.said
        assert self.shell("\n".join(job["after_script"]), **env) == 0
        self.said = said
        return status

    @property
    def junit(self) -> dict[str, str]:
        suite = ET.parse(self.work / "verdict.xml").getroot()[0]
        return {case.get("name"): next((child.tag for child in case), "ok") for case in suite}


WARM = f"""#!{sys.executable}
import sys, types
sys.path.insert(0, {{tests!r}})
import warm
image = types.SimpleNamespace(connect=lambda: warm._connect({{address!r}}))
sys.exit(warm.module(image).run([sys.executable, "-P", "-m", "bench", *sys.argv[1:]]).returncode)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def job(tmp_path, processes):
    return lambda policy: Job(tmp_path, processes, policy)


def test_a_slower_revision_is_red_on_github_in_the_summary_the_comment_and_junit(job) -> None:
    one = job(ONLY_LATENCY)
    one.revisions({}, {"seconds": 0.02})
    assert one.github() == 3, one.said
    page = (one.root / "page").read_text()
    assert page.startswith("## Gate regression: 1 regression")
    assert "latency" in page
    assert "::error title=regression%3A latency::" in one.said
    assert one.junit["latency"] == "failure"
    assert json.loads((one.work / "verdict.json").read_text())["outcome"] == "regression"
    assert (one.root / "comment").read_text().splitlines()[:3] == ["pr", "comment", "12"]


def test_equal_revisions_are_green_on_github(job) -> None:
    one = job(COUNTS)
    one.revisions({}, {})
    assert one.github() == 0, one.said
    assert (one.root / "page").read_text().startswith("## Gate passed")
    assert set(one.junit.values()) == {"ok"}


def test_a_larger_revision_is_red_on_gitlab_and_equal_ones_are_green(job) -> None:
    one = job(COUNTS)
    one.revisions({}, {"width": 9})
    assert one.gitlab() == 3, one.said
    assert {"flops": "failure", "parameters": "failure"}.items() <= one.junit.items()
    assert "body=<verdict.md" in (one.root / "comment").read_text()
    assert "changed" not in one.said
    one.git("checkout", "-q", "--detach", "origin/main")
    assert one.gitlab() == 0, one.said
    reported = GITLAB["gate"]["artifacts"]
    assert all((one.work / name).is_file() for name in [*reported["paths"], reported["reports"]["junit"]])


def test_the_workflows_keep_what_they_need_between_jobs_and_see_all_of_the_history() -> None:
    steps = GITHUB["jobs"]["gate"]["steps"]
    used = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps if "uses" in step}
    assert used["actions/checkout"]["fetch-depth"] == 0
    assert used["actions/cache"]["path"] == "~/.cache/bench"
    assert GITLAB["gate"]["variables"]["GIT_DEPTH"] == "0"
    assert any(step.get("run") == INSTALL for step in steps)


def test_bisection_by_the_real_gate_names_the_commit_that_has_more_to_compute(
    job, processes, monkeypatch, capsys
) -> None:
    one = job(COUNTS)
    one.revisions({}, {}, {}, {"width": 9}, {"width": 9}, {"width": 9})
    (page,) = re.findall(r"\$ (bench bisect .*)", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"))
    words = page.replace("v1.2", "origin/main").replace("--metric latency", "--metric flops").replace("demo", "blips")
    monkeypatch.setattr("bench.studies.bisect.run.subprocess", processes)
    monkeypatch.setenv("BENCH_CACHE", one.env["BENCH_CACHE"])
    monkeypatch.chdir(one.work)
    assert main([*words.split()[1:], "--policy", "gate.toml"]) == 0
    said = capsys.readouterr()
    assert f"first bad commit: {one.git('show', '-s', '--format=%h', 'HEAD~2')} " in said.out
    assert "revision 3" in said.out
    assert re.search(r"flops of blips/\S+ regression, 1\.0\d+ times that of the good commit", said.out)
    assert said.err.count("note: ") <= 4
    assert one.git("status", "--porcelain") == ""
