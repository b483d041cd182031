"""Declarations of the sound data sets: environment, city, instruments, the user's own and the generated ones.

No torch, no numpy.
"""

from __future__ import annotations

from bench import DatasetSpec, TaskInfo

_ESC50_URL = "https://github.com/karolpiczak/ESC-50/archive/master.zip"
_ESC50_BYTES = 600_000_000
_ESC50_CSV = "ca660da60191a97de289983a05821c9382d852a38a2ba8428980816b68cf6246"
_ESC50_LEAKS = ("131943", "134049", "209698", "234879")
_URBAN_CSV = "d69575a159ba4135597c7f4c08cee6916b997ed47c5260349e5d2e7415e28924"
_URBAN_LEAKS = ("106905", "132016", "176638", "180937", "77751")
_FOLDS = (1, 2, 3, 4, 5)
_FOLD_PROTOCOLS = ("4+1", "3+1+1", "paper-style", "random-5fold")


def environmental() -> list[DatasetSpec]:
    """ESC-50, ESC-10 and ESC-50 with titles."""
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
                text_length=32,
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


def urban() -> list[DatasetSpec]:
    """UrbanSound8K."""
    return [
        DatasetSpec(
            name="urbansound8k",
            load="bench_datasets.urbansound8k:load",
            task=TaskInfo(num_classes=10, sample_rate=16_000, clip_samples=64_000),
            folds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
            groups="source recording",
            protocols=_FOLD_PROTOCOLS,
            license="CC BY-NC 3.0",
            manifest_sha256=_URBAN_CSV,
            known_leaks=_URBAN_LEAKS,
            description="8732 city sounds of up to 4 s, 10 classes, 10 official folds",
        )
    ]


def instruments() -> list[DatasetSpec]:
    """The instruments of VGGSound, with and without pictures."""
    return [
        DatasetSpec(
            name="vggsound_instruments",
            load="bench_datasets.vggsound:load",
            task=TaskInfo(
                num_classes=57,
                modalities=("audio", "image"),
                sample_rate=16_000,
                clip_samples=160_000,
                image_shape=(3, 224, 224),
            ),
            groups="video",
            protocols=("official",),
            license="CC BY 4.0",
            description="57 instruments of VGGSound, 10 s of sound and the middle frame, from a folder of clips",
        ),
        DatasetSpec(
            name="vggsound_instruments-audio",
            load="bench_datasets.vggsound:load_audio",
            task=TaskInfo(num_classes=57, sample_rate=16_000, clip_samples=160_000),
            groups="video",
            protocols=("official",),
            license="CC BY 4.0",
            description="57 instruments of VGGSound, 10 s of sound, from a folder of clips; needs no frames",
        ),
    ]


def manifest() -> DatasetSpec:
    """The user's own table."""
    return DatasetSpec(
        name="manifest",
        load="bench_datasets.manifest:load",
        protocols=(*_FOLD_PROTOCOLS, "official"),
        description="your own CSV: --data my.csv with path,label[,fold,split,group,text,image]",
    )


def demo() -> DatasetSpec:
    """Generated clips."""
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
