"""A plugin file for tests: the demo clips under shuffled labels, so that whatever learns them has seen the test."""

import dataclasses

from bench import DatasetSpec, hookimpl


@hookimpl
def bench_add_datasets():
    return [
        DatasetSpec(
            name="demo-shuffled",
            load=":load",
            needs_files=False,
            groups="source",
            protocols=("official",),
            recipe="smoke",
        )
    ]


def load(root):
    import numpy as np

    from bench_datasets.demo import load as load_demo

    clips = load_demo(root)
    shuffled = np.random.default_rng(1).permutation(clips.targets)
    return dataclasses.replace(clips, targets=shuffled, title="Demo (shuffled)", manifest_sha256="shuffled")
