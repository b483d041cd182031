import importlib
import mmap
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.execution.seeding import deterministic
from bench.frontends.precision import read_precision
from bench.measurement.guards import (
    caught_output,
    inspect_callable,
    leaked_per_step,
    read_determinism,
    restored_flags,
)

CHANGES = {
    "num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "default_device": lambda: torch.set_default_device("meta"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "grad_mode": lambda: torch.set_grad_enabled(False),
    "float32_precision": lambda: torch.set_float32_matmul_precision("high"),
    "cudnn_benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn_deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cudnn_enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "anomaly_mode": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "mha_fastpath": lambda: torch.backends.mha.set_fastpath_enabled(False),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_each_changed_switch_is_named_and_put_back(name):
    findings = inspect_callable(lambda _: CHANGES[name](), steps=8)
    assert [finding.kind for finding in findings] == ["flags"]
    assert f"global {name} " in findings[0].message
    changed = {}
    with restored_flags(changed):
        pass
    assert inspect_callable(lambda _: None, steps=8) == ()


PRECISIONS = [
    lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
]


@pytest.mark.parametrize("change", PRECISIONS)
def test_tf32_is_put_back_through_either_interface(change):
    before = read_precision()
    changed = {}
    with restored_flags(changed):
        change()
    assert set(changed) == {"float32_precision"}
    assert read_precision() == before
    torch.backends.fp32_precision = "tf32"
    try:
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"  # not pinned: a later global choice reaches it
    finally:
        torch.backends.fp32_precision = "none"


@pytest.mark.parametrize("told", [True, False])
def test_what_the_compiler_was_told_is_put_back_too(told):
    """`use_deterministic_algorithms` writes the compiler's own switch, whatever the environment had set it to."""
    config = importlib.import_module("torch._inductor.config")
    with config.patch(deterministic=told):
        before = read_determinism()
        with deterministic():
            assert config.deterministic
        assert read_determinism() == before
        assert (before.mode, before.warn_only, before.compiler) == (False, False, told)
        with restored_flags():
            torch.use_deterministic_algorithms(not told)
        assert read_determinism() == before


@pytest.mark.parametrize("asked", [None, "0", "1"])
def test_a_compiler_imported_in_the_middle_is_told(asked):
    code = """
import os, sys
from bench.execution.seeding import deterministic
from bench.measurement.guards import read_determinism, restored_flags
before, changed = read_determinism(), {}
with restored_flags(changed), deterministic():
    assert "torch._inductor" not in sys.modules
    import torch._inductor.config
    assert torch._inductor.config.deterministic
    assert torch.are_deterministic_algorithms_enabled()
assert read_determinism() == before and not changed
print(torch._inductor.config.deterministic, os.environ.get("TORCHINDUCTOR_DETERMINISTIC"))
"""
    env = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_DETERMINISTIC"}
    env |= {} if asked is None else {"TORCHINDUCTOR_DETERMINISTIC": asked}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(asked == "1"), str(asked)]


def test_switches_are_put_back_although_the_callable_raised():
    def call(_):
        torch.set_default_dtype(torch.float64)
        raise ArithmeticError("diverged")

    with pytest.raises(ArithmeticError, match="diverged"):
        inspect_callable(call)
    assert torch.get_default_dtype() == torch.float32


def test_a_real_training_step_has_no_findings():
    layer = torch.nn.Linear(128, 128)
    optimiser = torch.optim.AdamW(layer.parameters())

    def step(_):
        optimiser.zero_grad()
        layer(torch.randn(64, 128)).square().mean().backward()
        optimiser.step()

    assert inspect_callable(step) == ()


def test_leak_is_named_with_its_size():
    kept = []

    def leak(_):
        # Straight from the kernel: malloc might hand out pages that are resident already.
        block = np.frombuffer(mmap.mmap(-1, 1 << 20), dtype=np.uint8)
        block[:] = 1
        kept.append(block)

    findings = inspect_callable(leak, steps=20)
    assert [finding.kind for finding in findings] == ["leak"]
    assert leaked_per_step(np.arange(17.0)) == pytest.approx(1.0)


def test_memory_in_cycles_is_no_leak():
    def call(_):
        ring = [np.ones(1 << 17)]
        ring.append(ring)

    assert inspect_callable(call) == ()


@pytest.mark.parametrize(
    "levels",
    [
        np.full(17, 100.0),
        np.r_[np.arange(5.0), np.full(12, 5.0)],  # a pool that fills
        np.tile([100.0, 130.0], 9),  # swings
        np.linspace(100, 100.9, 17),  # below 1 MiB in all
    ],
)
def test_what_is_no_leak(levels):
    assert leaked_per_step(levels) is None


def test_leak_under_small_dips():
    levels = 0.5 * np.arange(30.0)
    levels[10] -= 1.0
    assert leaked_per_step(levels) == pytest.approx(0.5)


def test_threads_left_running_are_named():
    stop = threading.Event()

    def call(index):
        if index == 0:
            threading.Thread(target=stop.wait, name="stray", daemon=True).start()

    try:
        findings = inspect_callable(call, steps=8)
    finally:
        stop.set()
    assert [finding.kind for finding in findings] == ["threads"]
    assert "stray" in findings[0].message


def test_processes_left_running_are_counted():
    children = []

    def call(index):
        if index == 0:
            children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    findings = inspect_callable(call, steps=8)
    for child in children:
        child.communicate(b"\n", timeout=300)
    assert [finding.kind for finding in findings] == ["processes"]


@pytest.mark.parametrize("write", [lambda _: sys.stdout.write("epoch 1\n"), lambda _: os.write(1, b"epoch 1\n")])
def test_printing_is_named(write):
    findings = inspect_callable(write, steps=8)
    assert [finding.kind for finding in findings] == ["stdout"]
    assert "64 characters" in findings[0].message
    assert "'epoch 1'" in findings[0].message


def test_output_is_whole_again_afterwards(capfd):
    with caught_output() as printed:
        sys.stdout.write("inside\n")
        os.write(1, b"native\n")
    sys.stdout.write("outside\n")
    assert printed.text == "inside\nnative\n"
    assert capfd.readouterr().out == "outside\n"


def test_too_few_steps_are_refused():
    with pytest.raises(BenchError, match="steps is 3"):
        inspect_callable(lambda _: None, steps=3)
