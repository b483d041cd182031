"""Kills over Ray: a cluster of two machines (network namespaces), of which anything may die, gives what one run gives.

``python benchmarks/ray_chaos.py [--kills 100] [--seed 0]`` as root on Linux with Ray installed; nothing else on the
machine is touched. Killed with SIGKILL, by chance: the run itself, a worker of bench, a Ray worker, and all processes
of the second machine, which then comes back. Whenever a run has ended, the same command goes on with its folder until
it holds all; then records must be whole, each cell there once, ok, its predictions equal to those of a quiet run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.results.store import Store

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "tests" / "running" / "contract_plugin.py"
HEAD, OTHER = "benchA", "benchB"
ADDRESS = "10.77.0.1:6399"
CELLS = ("--models", "does.good", "--dataset", "beats", "--seeds", "0-3", "--recipe", "smoke", "--no-profile")
FIT_S = "1"
LIMIT_S = 900


def sh(*words: str, check: bool = True) -> str:
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout


def pids(namespace: str) -> list[int]:
    return [int(word) for word in sh("ip", "netns", "pids", namespace).split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextlib.contextmanager
def two_machines() -> Iterator[None]:
    try:
        for name in (HEAD, OTHER):
            sh("ip", "netns", "add", name)
        sh("ip", "link", "add", "bench0", "netns", HEAD, "type", "veth", "peer", "name", "bench1", "netns", OTHER)
        for name, link, last in ((HEAD, "bench0", 1), (OTHER, "bench1", 2)):
            sh("ip", "-n", name, "addr", "add", f"10.77.0.{last}/24", "dev", link)
            for device in (link, "lo"):
                sh("ip", "-n", name, "link", "set", device, "up")
        yield
    finally:
        for name in (HEAD, OTHER):
            for pid in pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            sh("ip", "netns", "del", name, check=False)


def start(environment: dict[str, str], *, head: bool) -> None:
    where = ("--head", "--port=6399", "--include-dashboard=false") if head else (f"--address={ADDRESS}",)
    name, last = (HEAD, 1) if head else (OTHER, 2)
    words = ("start", *where, f"--node-ip-address=10.77.0.{last}", "--num-cpus=2", "--disable-usage-stats")
    ray = (sys.executable, "-c", "from ray.scripts.scripts import main; main()")
    told = subprocess.run(
        ("ip", "netns", "exec", name, *ray, *words), env=environment, capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise RuntimeError(f"ray start on {name}: {told.stdout[-2000:]}{told.stderr[-2000:]}")


def bench(out: Path, launcher: str, environment: dict[str, str], namespace: str | None) -> subprocess.Popen[bytes]:
    inside = ("ip", "netns", "exec", namespace) if namespace else ()
    words = ("run", *CELLS, "--plugin", str(PLUGIN), "--out", str(out), "--launcher", launcher)
    with out.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen(
            (*inside, sys.executable, "-P", "-m", "bench", *words), env=environment, stdout=log, stderr=log
        )


def strike(kind: str, run: subprocess.Popen[bytes], environment: dict[str, str]) -> bool:
    """Kill one of what ``kind`` says; whether there was any."""
    if kind == "node":
        for pid in pids(OTHER):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        start(environment, head=False)
        return True
    marks = {"worker": "bench.running.worker", "ray worker": "ray::drive"}
    everywhere = pids(HEAD) + pids(OTHER)
    found = [run.pid] if kind == "run" else [pid for pid in everywhere if marks[kind] in command_of(pid)]
    with contextlib.suppress(IndexError, ProcessLookupError):
        os.kill(random.choice(found), signal.SIGKILL)
        return True
    return False


def results(out: Path) -> dict[str, str]:
    """The digest of the predictions of each cell; anything torn, missing, twice or not ok raises."""
    store = Store(out)
    records, bad = store.records()
    if bad or {r.status for r in records} != {"ok"} or sorted(r.cell for r in records) != sorted(store.planned()):
        raise RuntimeError(f"{bad} {Counter(r.status for r in records)} of {len(store.planned())}: {out}")
    for record in records:
        store.predictions(record)
    return {record.cell.id: record.artifacts["predictions"]["sha256"] for record in records}


def finished(
    out: Path, environment: dict[str, str], kills: Counter[str], goal: int, weights: dict[str, int]
) -> dict[str, str]:
    """Run into ``out`` with kills until it holds all results."""
    until, strikes = time.monotonic() + LIMIT_S, 0
    while time.monotonic() < until:
        run = bench(out, f"ray:address={ADDRESS},memory=100", environment, HEAD)
        while run.poll() is None:
            time.sleep(random.uniform(0.3, 3.0))
            if strikes < 6 and sum(kills.values()) < goal and any((out / "records").rglob("*.json")):
                kind = random.choices(list(weights), list(weights.values()))[0]
                if strike(kind, run, environment):
                    strikes += 1
                    kills[kind] += 1
            if time.monotonic() > until:
                run.kill()
        if run.returncode == 0:
            return results(out)
    raise RuntimeError(f"no end after {LIMIT_S} s: {out.with_suffix('.txt').read_text()[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["run", "worker", "ray worker", "node"])
    asked = parser.parse_args()
    random.seed(asked.seed)
    weights = {asked.only: 1} if asked.only else {"run": 2, "worker": 3, "ray worker": 3, "node": 1}
    folder = Path(tempfile.mkdtemp(prefix="bench-chaos-"))
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0", "BENCH_TEST_FIT_S": FIT_S, "BENCH_CACHE": str(folder / "cache"),
        "RAY_TMPDIR": str(folder), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("BENCH_DATA", None)
    if bench(folder / "quiet", "local", environment, None).wait(LIMIT_S):
        raise RuntimeError((folder / "quiet.txt").read_text())
    expected, kills, rounds = results(folder / "quiet"), Counter[str](), 0
    with two_machines():
        start(environment, head=True)
        start(environment, head=False)
        while sum(kills.values()) < asked.kills:
            if finished(folder / f"round{rounds}", environment, kills, asked.kills, weights) != expected:
                raise RuntimeError(f"other numbers in {folder / f'round{rounds}'}")
            rounds += 1
            print(f"round {rounds}: {len(expected)} cells equal; killed so far: {dict(kills)}", flush=True)
        time.sleep(5)
        left = [command_of(pid) for pid in pids(HEAD) + pids(OTHER) if "bench.running.worker" in command_of(pid)]
    if left:
        raise RuntimeError(f"left over: {left}")
    print(
        f"{sum(kills.values())} kills {dict(kills)} in {rounds} runs of {len(expected)} cells: all equal, nothing left"
    )


if __name__ == "__main__":
    main()
