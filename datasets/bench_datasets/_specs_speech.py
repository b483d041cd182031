"""Declarations of the speech data sets: spoken digits, digit pairs, commands. No torch, no numpy."""

from __future__ import annotations

from bench import DatasetSpec, TaskInfo

_FSDD_URL = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip"
)
_FSDD_NAMES = "20e71698e9f919ad85513386df54025b40f359479560bf2e414bb45b50ae400d"
_PAIRS_CSV = "4b083a0389e3c202255427fcad97a6c43e2765683f826549c1373e70b44b3908"
_SPEAKERS = (1, 2, 3, 4, 5, 6)
_SPEECH = {"roll": False, "shift": 0.1}  # a word whose end comes before its beginning is another word
_COMMANDS_URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
_COMMANDS_BYTES = 2_400_000_000
_COMMANDS_ARCHIVE = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
_COMMANDS_TEST_LIST = "128df49699a6aecb84d916465d52c08c1a94042eed8b01bdd9268c8cd06191fc"
_COMMANDS_NOISES = (
    "doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise",
)  # fmt: skip


def spoken_digits() -> list[DatasetSpec]:
    """FSDD with its official split and by speaker."""
    task = TaskInfo(num_classes=10, sample_rate=8_000, clip_samples=8_000)
    return [
        DatasetSpec(
            name="fsdd",
            load="bench_datasets.fsdd:load_official",
            task=task,
            settings=_SPEECH,
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
            settings=_SPEECH,
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


def digit_pairs() -> list[DatasetSpec]:
    """Pairs of a spoken and a written digit, with the official split and by speaker."""
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
            settings=_SPEECH,
            protocols=("official",),
            license="CC BY-SA 4.0 and CC BY-SA 3.0",
            manifest_sha256=_PAIRS_CSV,
            description="3000 pairs of a spoken and a handwritten digit, official splits of FSDD and MNIST",
        ),
        DatasetSpec(
            name="digits-speaker",
            load="bench_datasets.digits:load_speaker",
            task=task,
            settings=_SPEECH,
            folds=_SPEAKERS,
            groups="speaker",
            protocols=("speaker",),
            license="CC BY-SA 4.0 and CC BY-SA 3.0",
            manifest_sha256=_PAIRS_CSV,
            description="3000 pairs of a spoken and a handwritten digit, one of 6 speakers left out at a time",
        ),
    ]


def published_digits() -> list[DatasetSpec]:
    """The arrays of Khacef et al. as published: images and cepstra, no recordings."""
    return [
        DatasetSpec(
            name="digits-khacef",
            load="bench_datasets.khacef:load",
            task=TaskInfo(
                num_classes=10,
                modalities=("audio", "image"),
                sample_rate=16_000,
                clip_samples=16_000,
                image_shape=(1, 28, 28),
            ),
            groups="utterance",
            protocols=("grouped-5", "random-80-20"),
            license="sources: CC BY 4.0 and CC BY-SA 3.0",
            description="60000 pairs of a handwritten digit and 39 x 13 cepstra of a spoken one, 10000 more to predict",
        ),
    ]


def spoken_commands() -> list[DatasetSpec]:
    """Speech Commands v0.02 with all its words, and as ten words, unknown and silence."""
    return [
        DatasetSpec(
            name="speech_commands",
            load="bench_datasets.speech_commands:load",
            task=TaskInfo(num_classes=35, sample_rate=16_000, clip_samples=16_000),
            settings=_SPEECH,
            groups="speaker",
            protocols=("official", "official-val"),
            license="CC BY 4.0",
            url=_COMMANDS_URL,
            download_bytes=_COMMANDS_BYTES,
            archive_sha256=_COMMANDS_ARCHIVE,
            manifest_sha256=_COMMANDS_TEST_LIST,
            description="105829 recordings of 35 spoken words of 1 s (v0.02), official split by speaker",
        ),
        DatasetSpec(
            name="speech_commands-12",
            load="bench_datasets.speech_commands_12:load",
            task=TaskInfo(num_classes=12, sample_rate=16_000, clip_samples=16_000),
            settings=_SPEECH,
            groups="speaker; noise recording of the class silence",
            protocols=("official", "official-val"),
            license="CC BY 4.0",
            url=_COMMANDS_URL,
            download_bytes=_COMMANDS_BYTES,
            archive_sha256=_COMMANDS_ARCHIVE,
            manifest_sha256=_COMMANDS_TEST_LIST,
            known_leaks=_COMMANDS_NOISES,
            description="Speech Commands v0.02 as 10 words, unknown and silence (a tenth each), official split",
        ),
    ]
