"""The data sets that come with bench. Listing them reads no file and imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterable

from bench import DatasetSpec, TaskInfo, hookimpl

_ESC50_URL = "https://github.com/karolpiczak/ESC-50/archive/master.zip"
_ESC50_BYTES = 600_000_000
_ESC50_CSV = "ca660da60191a97de289983a05821c9382d852a38a2ba8428980816b68cf6246"
_ESC50_LEAKS = ("131943", "134049", "209698", "234879")
_FSDD_URL = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip"
)
_FSDD_NAMES = "20e71698e9f919ad85513386df54025b40f359479560bf2e414bb45b50ae400d"
_PAIRS_CSV = "4b083a0389e3c202255427fcad97a6c43e2765683f826549c1373e70b44b3908"
_FOLDS = (1, 2, 3, 4, 5)
_FOLD_PROTOCOLS = ("4+1", "3+1+1", "paper-style", "random-5fold")
_SPEAKERS = (1, 2, 3, 4, 5, 6)


@hookimpl
def bench_add_datasets() -> Iterable[DatasetSpec]:
    """ESC-50, ESC-10, spoken digits, digit pairs, the user's own table and the generated demo."""
    return [*_environmental(), *_spoken_digits(), *_digit_pairs(), _manifest(), _demo()]


def _environmental() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="esc50",
            load="bench_datasets.esc50:load_esc50",
            task=TaskInfo(num_classes=50, sample_rate=16_000, clip_samples=80_000),
            folds=_FOLDS,
            groups="source recording",
            protocols=_FOLD_PROTOCOLS,
            license="CC BY-NC 3.0",
            url=_ESC50_URL,
            download_bytes=_ESC50_BYTES,
            manifest_sha256=_ESC50_CSV,
            known_leaks=_ESC50_LEAKS,
            description="2000 environmental sounds of 5 s, 50 classes, 5 official folds",
        ),
        DatasetSpec(
            name="esc10",
            load="bench_datasets.esc50:load_esc10",
            task=TaskInfo(num_classes=10, sample_rate=16_000, clip_samples=80_000),
            folds=_FOLDS,
            groups="source recording",
            protocols=_FOLD_PROTOCOLS,
            license="CC BY 3.0",
            url=_ESC50_URL,
            download_bytes=_ESC50_BYTES,
            manifest_sha256=_ESC50_CSV,
            description="the 400 clips of ESC-50 in 10 well-separated classes, 5 official folds",
        ),
        DatasetSpec(
            name="esc50-titles",
            load="bench_datasets.esc50:load_esc50_titles",
            task=TaskInfo(
                num_classes=50,
                modalities=("audio", "text"),
                sample_rate=16_000,
                clip_samples=80_000,
                text_length=16,
            ),
            folds=_FOLDS,
            groups="source recording",
            protocols=_FOLD_PROTOCOLS,
            license="CC BY-NC 3.0",
            manifest_sha256=_ESC50_CSV,
            known_leaks=_ESC50_LEAKS,
            description="ESC-50 with each recording's title as text (titles alone give 83.8 %)",
        ),
    ]


def _spoken_digits() -> list[DatasetSpec]:
    task = TaskInfo(num_classes=10, sample_rate=8_000, clip_samples=8_000)
    return [
        DatasetSpec(
            name="fsdd",
            load="bench_datasets.fsdd:load_official",
            task=task,
            protocols=("official",),
            license="CC BY-SA 4.0",
            url=_FSDD_URL,
            download_bytes=21_000_000,
            manifest_sha256=_FSDD_NAMES,
            description="3000 spoken digits at 8 kHz, official split (it shares its 6 speakers)",
        ),
        DatasetSpec(
            name="fsdd-speaker",
            load="bench_datasets.fsdd:load_speaker",
            task=task,
            folds=_SPEAKERS,
            groups="speaker",
            protocols=("speaker",),
            license="CC BY-SA 4.0",
            url=_FSDD_URL,
            download_bytes=21_000_000,
            manifest_sha256=_FSDD_NAMES,
            description="3000 spoken digits at 8 kHz, one of 6 speakers left out at a time",
        ),
    ]


def _digit_pairs() -> list[DatasetSpec]:
    task = TaskInfo(
        num_classes=10,
        modalities=("audio", "image"),
        sample_rate=8_000,
        clip_samples=8_000,
        image_shape=(1, 28, 28),
    )
    return [
        DatasetSpec(
            name="digits",
            load="bench_datasets.digits:load_official",
            task=task,
            protocols=("official",),
            license="CC BY-SA 4.0 and CC BY-SA 3.0",
            manifest_sha256=_PAIRS_CSV,
            description="3000 pairs of a spoken and a handwritten digit, official splits of FSDD and MNIST",
        ),
        DatasetSpec(
            name="digits-speaker",
            load="bench_datasets.digits:load_speaker",
            task=task,
            folds=_SPEAKERS,
            groups="speaker",
            protocols=("speaker",),
            license="CC BY-SA 4.0 and CC BY-SA 3.0",
            manifest_sha256=_PAIRS_CSV,
            description="3000 pairs of a spoken and a handwritten digit, one of 6 speakers left out at a time",
        ),
    ]


def _manifest() -> DatasetSpec:
    return DatasetSpec(
        name="manifest",
        load="bench_datasets.manifest:load",
        protocols=(*_FOLD_PROTOCOLS, "official"),
        description="your own CSV: --data my.csv with path,label[,fold,split,group,text,image]",
    )


def _demo() -> DatasetSpec:
    return DatasetSpec(
        name="demo",
        load="bench_datasets.demo:load",
        task=TaskInfo(
            num_classes=10,
            modalities=("audio", "image", "text"),
            sample_rate=16_000,
            clip_samples=16_000,
            image_shape=(1, 28, 28),
            text_length=8,
        ),
        folds=_FOLDS,
        groups="source",
        protocols=("official", *_FOLD_PROTOCOLS),
        recipe="smoke",
        license="CC0-1.0",
        needs_files=False,
        description="400 generated clips with image and text, 10 classes, best possible accuracy 0.90, no files",
    )
