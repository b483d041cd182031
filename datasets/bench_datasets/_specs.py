"""Declarations of the data sets. No torch, no numpy; a variant says only where it differs from another."""

from __future__ import annotations

from dataclasses import replace

from bench import DatasetSpec, TaskInfo

_SPEECH = {"shift": 0.1}
_FEW = {"spec_masks": 0, "mixup_alpha": 0.0, "gain_db": 0.0}  # each hurts somebody: benchmarks/results/augmentation.md
_TEXTURE = {"texture": True}  # a sound that goes on, or comes again, and may begin anywhere
_FOLD_PROTOCOLS = ("4+1", "3+1+1", "paper-style", "random-5fold")
_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")  # of FSDD, each in train and test
_FIVE_SECONDS = TaskInfo(num_classes=50, sample_rate=16_000, clip_samples=80_000)
_TEN_SECONDS = TaskInfo(num_classes=57, sample_rate=16_000, clip_samples=160_000)
_DIGITS = TaskInfo(num_classes=10, sample_rate=8_000, clip_samples=8_000)
_SEEN_DIGITS = replace(_DIGITS, modalities=("audio", "image"), image_shape=(1, 28, 28))
_COMMANDS = TaskInfo(num_classes=35, sample_rate=16_000, clip_samples=16_000)
_EVENTS = replace(_TEN_SECONDS, num_classes=200, task_type="multi_label")

ESC50 = DatasetSpec(
    name="esc50",
    load="bench_datasets.esc50:load_esc50",
    task=_FIVE_SECONDS,
    settings=_TEXTURE,
    folds=(1, 2, 3, 4, 5),
    groups="source recording",
    protocols=_FOLD_PROTOCOLS,
    license="CC BY-NC 3.0",
    url="https://github.com/karolpiczak/ESC-50/archive/master.zip",
    download_bytes=600_000_000,
    manifest_sha256="ca660da60191a97de289983a05821c9382d852a38a2ba8428980816b68cf6246",
    known_leaks=("131943", "134049", "209698", "234879"),
    description="2000 environmental sounds of 5 s, 50 classes, 5 official folds",
)
ESC10 = replace(
    ESC50,
    name="esc10",
    load="bench_datasets.esc50:load_esc10",
    part_of="esc50",
    task=replace(_FIVE_SECONDS, num_classes=10),
    license="CC BY 3.0",
    known_leaks=(),
    description="the 400 clips of ESC-50 in 10 well-separated classes, 5 official folds",
)
ESC50_TITLES = replace(
    ESC50,
    name="esc50-titles",
    load="bench_datasets.esc50:load_esc50_titles",
    part_of="esc50",
    task=replace(_FIVE_SECONDS, modalities=("audio", "text"), text_length=32),
    url="",
    download_bytes=None,
    description="ESC-50 with each recording's title as text (titles alone give 83.8 %)",
)
URBANSOUND8K = DatasetSpec(
    name="urbansound8k",
    load="bench_datasets.urbansound8k:load",
    task=TaskInfo(num_classes=10, sample_rate=16_000, clip_samples=64_000),
    settings=_TEXTURE,
    folds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    groups="source recording",
    protocols=_FOLD_PROTOCOLS,
    license="CC BY-NC 3.0",
    manifest_sha256="d69575a159ba4135597c7f4c08cee6916b997ed47c5260349e5d2e7415e28924",
    known_leaks=("106905", "132016", "176638", "180937", "77751"),
    description="8732 city sounds of up to 4 s, 10 classes, 10 official folds",
)
FSD50K = DatasetSpec(
    name="fsd50k",
    load="bench_datasets.fsd50k:load",
    task=_EVENTS,
    settings=_TEXTURE,
    protocols=("official", "official-val"),
    license="CC BY 4.0; each clip has its own",
    description="51197 sounds of 0.3 to 30 s, 200 classes, several a clip, official split with validation part",
)
AUDIOSET = DatasetSpec(
    name="audioset",
    load="bench_datasets.audioset:load",
    task=replace(_EVENTS, num_classes=527),
    settings=_TEXTURE,
    groups="video",
    protocols=("official",),
    license="CC BY 4.0 (labels)",
    description="AudioSet with both training lists, 527 classes, several a clip, from a folder of 10 s clips",
)
AUDIOSET_BALANCED = replace(
    AUDIOSET,
    name="audioset-balanced",
    recordings_of=("audioset",),
    load="bench_datasets.audioset:load_balanced",
    description="AudioSet with its balanced training list alone, 527 classes, from a folder of 10 s clips",
)
VGGSOUND = DatasetSpec(
    name="vggsound_instruments",
    load="bench_datasets.vggsound:load",
    task=replace(_TEN_SECONDS, modalities=("audio", "image"), image_shape=(3, 224, 224)),
    groups="video",
    protocols=("official",),
    license="CC BY 4.0",
    description="57 instruments of VGGSound, 10 s of sound and the middle frame, from a folder of clips",
)
VGGSOUND_AUDIO = replace(
    VGGSOUND,
    name="vggsound_instruments-audio",
    recordings_of=("vggsound_instruments",),
    load="bench_datasets.vggsound:load_audio",
    task=_TEN_SECONDS,
    description="57 instruments of VGGSound, 10 s of sound, from a folder of clips; needs no frames",
)
FSDD = DatasetSpec(
    name="fsdd",
    load="bench_datasets.fsdd:load_official",
    task=_DIGITS,
    settings=_FEW,
    groups="speaker",
    protocols=("official",),
    known_leaks=_SPEAKERS,
    license="CC BY-SA 4.0",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip",
    download_bytes=21_000_000,
    manifest_sha256="20e71698e9f919ad85513386df54025b40f359479560bf2e414bb45b50ae400d",
    description="3000 spoken digits at 8 kHz, official split (it shares its 6 speakers)",
)
FSDD_SPEAKER = replace(
    FSDD,
    name="fsdd-speaker",
    recordings_of=("fsdd",),
    load="bench_datasets.fsdd:load_speaker",
    folds=(1, 2, 3, 4, 5, 6),
    protocols=("speaker",),
    known_leaks=(),
    description="3000 spoken digits at 8 kHz, one of 6 speakers left out at a time",
)
DIGITS = DatasetSpec(
    name="digits",
    recordings_of=("fsdd", "mnist"),
    load="bench_datasets.digits:load_official",
    task=_SEEN_DIGITS,
    settings=_FEW,
    groups="speaker",
    protocols=("official",),
    known_leaks=_SPEAKERS,
    license="CC BY-SA 4.0 and CC BY-SA 3.0",
    manifest_sha256="4b083a0389e3c202255427fcad97a6c43e2765683f826549c1373e70b44b3908",
    description="3000 pairs of a spoken and a handwritten digit, official splits of FSDD and MNIST",
)
DIGITS_SPEAKER = replace(
    DIGITS,
    name="digits-speaker",
    load="bench_datasets.digits:load_speaker",
    folds=FSDD_SPEAKER.folds,
    protocols=("speaker",),
    known_leaks=(),
    description="3000 pairs of a spoken and a handwritten digit, one of 6 speakers left out at a time",
)
DIGITS_KHACEF = DatasetSpec(
    name="digits-khacef",
    recordings_of=("speech_commands", "mnist"),
    load="bench_datasets.khacef:load",
    task=replace(_SEEN_DIGITS, sample_rate=16_000, clip_samples=16_000),
    groups="utterance",
    protocols=("grouped-5", "random-80-20"),
    license="sources: CC BY 4.0 and CC BY-SA 3.0",
    description="60000 pairs of a handwritten digit and 39 x 13 cepstra of a spoken one, 10000 more to predict",
)
SPEECH_COMMANDS = DatasetSpec(
    name="speech_commands",
    load="bench_datasets.speech_commands:load",
    task=_COMMANDS,
    settings=_SPEECH,
    groups="speaker",
    protocols=("official", "official-val"),
    license="CC BY 4.0",
    url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    download_bytes=2_400_000_000,
    archive_sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    manifest_sha256="128df49699a6aecb84d916465d52c08c1a94042eed8b01bdd9268c8cd06191fc",
    description="105829 recordings of 35 spoken words of 1 s (v0.02), official split by speaker",
)
SPEECH_COMMANDS_12 = replace(
    SPEECH_COMMANDS,
    name="speech_commands-12",
    recordings_of=("speech_commands",),
    load="bench_datasets.speech_commands_12:load",
    task=replace(_COMMANDS, num_classes=12),
    groups="speaker; noise recording of the class silence",
    known_leaks=(
        "doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise",
    ),
    description="Speech Commands v0.02 as 10 words, unknown and silence (a tenth each), official split",
)  # fmt: skip
MANIFEST = DatasetSpec(
    name="manifest",
    load="bench_datasets.manifest:load",
    settings=_FEW,
    protocols=("grouped-folds", "4+1", "official", "grouped-5", "3+1+1", "paper-style", "official-val", "random-5fold"),
    description="your own CSV path,label[,fold,split,group,text,image], or folder per class, Parquet, tar, Croissant",
)
DEMO = DatasetSpec(
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
    folds=(1, 2, 3, 4, 5),
    groups="source",
    protocols=("official", *_FOLD_PROTOCOLS),
    recipe="smoke",
    license="CC0-1.0",
    needs_files=False,
    description="400 generated clips with image and text, 10 classes, best possible accuracy 0.90, no files",
)
SPECS = (
    ESC50, ESC10, ESC50_TITLES, URBANSOUND8K, FSD50K, AUDIOSET, AUDIOSET_BALANCED, VGGSOUND, VGGSOUND_AUDIO, FSDD,
    FSDD_SPEAKER, DIGITS, DIGITS_SPEAKER, DIGITS_KHACEF, SPEECH_COMMANDS, SPEECH_COMMANDS_12, MANIFEST, DEMO,
)  # fmt: skip
