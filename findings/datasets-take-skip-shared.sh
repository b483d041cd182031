#!/usr/bin/env bash
# A streamed data set split with take() and skip(), as Hugging Face's guide does: which clips are meant depends on
# how many workers or ranks read it, so clips that were trained on are tested on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 torch==2.11.0 numpy==2.3.5
cd "$folder"
cat >take_skip.py <<'PYTHON'
import logging
import sys

import datasets
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

logging.disable(logging.WARNING)
CLIPS, TEST, SHARDS = 100, 20, 4
clips = datasets.Dataset.from_dict({"clip": list(range(CLIPS))}).to_iterable_dataset(num_shards=SHARDS)
test, train = clips.take(TEST), clips.skip(TEST)


def read(part, workers: int) -> list[int]:
    return [int(clip) for batch in DataLoader(part, batch_size=4, num_workers=workers) for clip in batch["clip"]]


def main() -> int:
    tested = set(read(test, 0))
    print(f"datasets {datasets.__version__}: {CLIPS} clips in {SHARDS} shards, test = take({TEST}), train = skip({TEST})")
    print(f"test, read by the main process: clips {min(tested)} to {max(tested)}")
    shared = {}
    for workers in (0, 2, 4):
        trained = read(train, workers)
        shared[workers] = len(tested & set(trained))
        print(f"train, {workers} workers: {len(trained)} clips, {shared[workers]} of them in the test as well")
    ranks = [clip for rank in range(4) for clip in read(split_dataset_by_node(train, rank=rank, world_size=4), 0)]
    among_ranks = len(tested & set(ranks))
    print(f"train, 4 ranks: {len(ranks)} clips, {among_ranks} of them in the test as well")
    print("Each worker skips its share of 20 from its own shards. Nothing is lost or repeated in one pass, nothing is said.")
    return 0 if shared == {0: 0, 2: 10, 4: 15} and among_ranks == 15 else 1


if __name__ == "__main__":
    sys.exit(main())
PYTHON
"$folder/venv/bin/python" -W ignore take_skip.py
