#!/usr/bin/env bash
# Two recordings of one name in two class folders are told apart by their paths until the data set is saved.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 soundfile==0.14.0 numpy==2.3.5
cd "$folder"
export HF_HOME="$folder/home" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import soundfile

rng = np.random.default_rng(0)
rows = []
for name in ("dog", "rain"):
    Path("sounds", name).mkdir(parents=True)
    path = Path("sounds", name, "1.wav")
    soundfile.write(path, 0.1 * rng.standard_normal(1600), 16_000)
    rows.append({"bytes": path.read_bytes(), "path": str(path)})
plain = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
table = pa.table({"audio": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
info = datasets.DatasetInfo(features=datasets.Features({"audio": plain}))
made = datasets.Dataset(datasets.table.InMemoryTable(table), info=info, fingerprint="a" * 16)
held = made.cast_column("audio", datasets.Audio(decode=False))
before = [row["audio"]["path"] for row in held]
held.save_to_disk("saved")
saved = datasets.load_from_disk("saved").cast_column("audio", datasets.Audio(decode=False))
after = [row["audio"]["path"] for row in saved]
print(f"datasets {datasets.__version__}, an Audio column of two recordings with their bytes")
print(f"paths before save_to_disk: {before}\npaths after:                {after}")
print("What tells the two recordings (and their folds, groups or folders of classes) apart is gone; the bytes are there.")
sys.exit(0 if len(set(before)) == 2 and after == ["1.wav", "1.wav"] else 1)
PYTHON
