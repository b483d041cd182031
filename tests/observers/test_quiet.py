"""Whatever is installed, an observer of the host keeps the contract, prints nothing, and sends nothing anywhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from bench import builtin
from bench.plugins.discovery import load_modules

REGISTRY = load_modules(builtin).registry
PROGRAM = """
import socket, sys
from bench import builtin
from bench.plugins.discovery import load_modules
from bench.testing.seams import observes

def watch(event, values):
    if event in ("socket.connect", "socket.getaddrinfo") and str(values).find("127.0.0.1") < 0:
        if event == "socket.getaddrinfo" or values[0].family != socket.AF_UNIX:
            sent.append((event, values[-1]))

sent = []
sys.addaudithook(watch)
result = observes(load_modules(builtin).registry.observers[sys.argv[1]])
assert result.status == "passed", result
assert not sent, sent
"""


@pytest.mark.parametrize("name", list(REGISTRY.observers))
def test_an_observer_keeps_the_contract_says_nothing_and_sends_nothing(name, tmp_path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'bench-audio[{name}]', or tox -e observers")
    told = ("CI", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY", "WANDB_ERROR_REPORTING")  # where tools hold back
    env = {key: value for key, value in os.environ.items() if key not in told}
    env |= {"HF_TOKEN": "hf_made_up", "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}  # and where they would not
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=False, env=env, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and ".cache" not in path.parts]
    assert not kept, kept
