"""What a worker process is given beside its job."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from bench.running.process import MALLOC, worker_environment

FAULTS = """
import json, resource
import torch
torch.set_num_threads(1)
def step():
    held = [torch.ones(2_000_000) for _ in range(20)]  # 160 MB, as what a step keeps until it goes back
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


def test_threads_and_memory_are_said_and_the_user_s_word_on_memory_holds(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    given = worker_environment(3)
    assert (given["OMP_NUM_THREADS"], given["MKL_NUM_THREADS"], given["GLIBC_TUNABLES"]) == ("3", "3", MALLOC)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    assert worker_environment(1)["GLIBC_TUNABLES"] == "glibc.malloc.check=1"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_step_faults_in_no_page_that_the_one_before_it_freed(monkeypatch):
    """Without it 160 MB go back to the system after each step: 40 000 faults in the next."""
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    done = subprocess.run(
        [sys.executable, "-P", "-c", FAULTS], env=worker_environment(1), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) < 400
