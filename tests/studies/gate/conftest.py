"""A repository with a model in a plain file, two commits old."""

import subprocess

import pytest

MODEL = """
from torch import nn

import bench


@bench.hookimpl
def bench_add_models():
    return [bench.ModelSpec(name=name, factory=":build", modalities=("audio",), frontend=None) for name in NAMES]


class Toy(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.linear = nn.Linear(WIDTH, task.num_classes)

    def forward(self, audio):
        return self.linear(audio[:, :WIDTH])


def build(task):
    return Toy(task)
"""


def git(folder, *words):
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder, message="a change"):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def write(folder, names="('toy',)", width=64):
    (folder / "toy.py").write_text(MODEL.replace("NAMES", names).replace("WIDTH", str(width)))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(folder)
    commit(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return folder
