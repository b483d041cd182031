"""A plugin file for tests: estimators that do to their process whatever a plugin may do."""

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

CLIPS, CLASSES, FOLDS, RATE, SAMPLES = 30, 3, 5, 8000, 100
SECONDS = 600
KINDS = (
    "good", "raises", "interrupts", "speaks", "nan", "leaks", "returns_twice", "holds", "daemon", "hangs", "ignores",
    "segfaults", "exits", "leaves", "prints", "patches", "writes", "closes", "replaces", "limited", "kills_parent",
    "ends_group", "lingers",
)  # fmt: skip


@hookimpl
def bench_add_models():
    recipes = {"*": {"trim_db": None}}
    return [
        ModelSpec(name=f"does.{kind}", factory=":Does", options={"kind": kind}, estimator=True, recipes=recipes)
        for kind in KINDS
    ]


@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="beats", load=":load", needs_files=False, protocols=("4+1",))]


def load(_root):
    import numpy as np

    targets = np.arange(CLIPS) % CLASSES

    def audio(i):
        noise = 0.2 * np.random.default_rng(i).standard_normal(SAMPLES)
        return (noise + 0.1 * targets[i]).astype(np.float32), RATE

    return Clips(
        title="Beats", ids=tuple(f"beat-{i}" for i in range(CLIPS)), targets=targets, label_names=tuple("abc"),
        audio=audio, sample_rate=RATE, clip_samples=SAMPLES, manifest_sha256="beats",
        folds=np.arange(CLIPS) // CLASSES % FOLDS + 1,
    )  # fmt: skip


class Does:
    """Nearest mean, and what its kind says while it is fitted."""

    def __init__(self, _task, *, kind):
        self.kind = kind

    def fit(self, x, y):
        import numpy as np

        self.classes_ = np.unique(y)
        self.means = np.stack([x[y == label].mean() for label in self.classes_])
        time.sleep(float(os.environ.get("BENCH_TEST_FIT_S", "0")))
        globals().get(self.kind, str)()
        return self

    def predict_proba(self, x):
        import numpy as np

        near = np.exp(-np.abs(x.reshape(len(x), -1).mean(1)[:, None] - self.means))
        return near / near.sum(1, keepdims=True) * (np.nan if self.kind == "nan" else 1.0)


def raises():
    raise ValueError("the model broke here")


def interrupts():
    raise KeyboardInterrupt


def speaks():
    raise ValueError("half a character: \udcff")


def leaks():
    """Files and a thread that nobody ends."""
    globals()["kept"] = [open(os.devnull) for _ in range(50)]  # noqa: SIM115, PTH123
    threading.Thread(target=time.sleep, args=(SECONDS,)).start()


def lingers():
    """A teardown that takes for ever."""
    atexit.register(time.sleep, SECONDS)


def returns_twice():
    """A fork that comes back from the model's code and goes on as if it were the cell."""
    os.fork()


def holds():
    """The process ends; a child of it, in a session of its own, keeps every pipe open."""
    subprocess.Popen(["sleep", str(SECONDS)], start_new_session=True, close_fds=False)
    os._exit(3)


def daemon():
    """A process that belongs to nobody any more."""
    read, write = os.pipe()  # closed once it runs its program
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execvp("sleep", ["sleep", str(SECONDS)])
        os._exit(0)
    os.wait()
    os.close(write)
    os.read(read, 1)


def hangs():
    time.sleep(SECONDS)


def ignores():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


def segfaults():
    ctypes.string_at(0)


def exits():
    sys.exit(5)


def leaves():
    os._exit(7)


def prints():
    print("the first line")  # noqa: T201  what is tested
    for _ in range(40):
        print("x" * 999_999)  # noqa: T201
    print("the last line")  # noqa: T201  what is tested


def patches():
    json.dumps = lambda *_, **__: "patched"


def writes():
    """Noise into every pipe that this process can write to, but for its output."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            if pipe and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_WRONLY:
                os.write(descriptor, b"\x00noise")


def closes():
    os.closerange(3, 256)


def replaces():
    sys.stdout = sys.stderr = None


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    with tempfile.TemporaryFile() as file:
        file.write(bytes(10_000))


def kills_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(SECONDS)


def ends_group():
    os.killpg(0, signal.SIGTERM)
    time.sleep(SECONDS)
