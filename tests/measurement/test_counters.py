"""Counters of one step: exact where torch counts, and a reason where the machine gives no counter of instructions."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
import torch

from bench.measurement import counters
from bench.measurement.counters import count_instructions, count_step, run_under_callgrind


def test_operators_kernels_and_bytes_of_a_known_step() -> None:
    a, b = torch.zeros(8, 4), torch.zeros(4, 16)
    found = count_step(lambda: (a @ b).view(-1).relu(), device="cpu")
    assert found == {"operators": 3, "kernels": 2, "allocations": 2, "tensor_bytes": 2 * 8 * 16 * 4}


def test_backward_passes_and_draws_are_counted_alike_each_time() -> None:
    layer, x = torch.nn.Linear(4, 3), torch.randn(5, 4)

    def step() -> None:
        if torch.rand(()) < 0.5:  # as an augmentation draws
            x.clone()
        layer(x).sum().backward()

    step()
    threads = torch.get_num_threads()
    found = [count_step(step, device="cpu") for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert found[0]["operators"] > count_step(lambda: layer(x), device="cpu")["operators"]
    assert torch.get_num_threads() == threads


def test_instructions_are_counted_or_the_reason_ends_in_what_to_type() -> None:
    found = count_instructions(lambda: sum(range(10_000)))
    if isinstance(found, str):
        assert found.endswith(counters.ASK_VALGRIND)
    else:
        assert found > 10_000


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counter is read by a call of Linux")
def test_the_fewest_instructions_of_a_few_steps_count(monkeypatch) -> None:
    read, write = os.pipe()
    for value in (100, 150, 200, 260, 300, 340):
        os.write(write, value.to_bytes(8, "little"))
    monkeypatch.setattr(counters, "_instruction_counter", lambda: read)
    assert count_instructions(lambda: None) == 40
    os.close(write)


def test_another_processor_has_no_counter(monkeypatch) -> None:
    monkeypatch.setattr(counters.platform, "machine", lambda: "riscv64")
    assert "no instruction counter" in str(count_instructions(lambda: None))


VALGRIND = """#!/bin/sh
for word; do case $word in --callgrind-out-file=*) out=${word#*=};; esac; done
cat > "$out.given"; mv "$out.given" "$(dirname "$out")/given"
printf 'events: Ir\\nsummary: 120\\n' > "$out.1"
printf 'events: Ir\\ntotals: 345\\n' > "$out.10"
printf 'events: Ir\\ntotals: 0\\n' > "$out.11"
"""


@pytest.fixture
def valgrind(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()

    def put(script: str) -> None:
        (tools / "valgrind").write_text(script)
        (tools / "valgrind").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(torch._C, "_valgrind_supported_platform", lambda: True)
    return put


def test_parts_of_callgrind_are_read_in_their_order(valgrind, tmp_path) -> None:
    valgrind(VALGRIND)
    folder = tmp_path / "parts"
    folder.mkdir()
    assert run_under_callgrind(("program",), "the job", folder) == [120, 345]
    assert (folder / "given").read_text() == "the job"


def test_a_step_that_fails_under_valgrind_is_a_reason(valgrind, tmp_path) -> None:
    valgrind("#!/bin/sh\necho first >&2\necho 'Illegal instruction' >&2\nexit 132\n")
    assert run_under_callgrind(("x",), "", tmp_path) == "the step failed under valgrind: Illegal instruction"


def test_without_valgrind_the_reason_says_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "apt-get install valgrind" in str(run_under_callgrind(("x",), "", tmp_path))
