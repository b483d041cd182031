"""Readers of what users bring: recordings, archives, tables, pictures; and of the caches made of them."""

from __future__ import annotations

import io
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from bench.clips import Clips
from bench.data import cache as store
from bench.data.cache import CacheWarning, cache_root
from bench.data.contents import file_digests
from bench.data.copies import know_copies
from bench.data.decode import decode
from bench.data.decoders import audio_seconds
from bench.data.download import unpack
from bench.data.features import open_features
from bench.data.locate import open_clips
from bench.data.waveforms import Waveforms, open_waveforms
from bench.errors import DataError
from bench_datasets._common import read_picture
from fuzz.blocks import EscapeError, Reader
from fuzz.damage import damaged_bytes, damaged_json, damaged_table
from fuzz.results import registry

RATE = 8_000
LIMIT = 1 << 20
KINDS = {
    "wav": (
        {"format": "WAV", "subtype": "PCM_16"}, {"format": "WAV", "subtype": "FLOAT"}, {"format": "WAVEX"},
        {"format": "RF64"},
    ),
    "flac": ({"format": "FLAC"}, {"format": "FLAC", "subtype": "PCM_24"}),
    "ogg": ({"format": "OGG", "subtype": "VORBIS"}, {"format": "OGG", "subtype": "OPUS"}),
    "mp3": ({"format": "MP3"},),
    "aiff and others": ({"format": "AIFF"}, {"format": "AU"}, {"format": "W64"}, {"format": "CAF"}),
}  # fmt: skip


@cache
def recordings(kind: str) -> list[bytes]:
    """Short files of one kind, mono and stereo."""
    rng = np.random.default_rng(0)
    made = []
    for how in KINDS[kind]:
        for channels in (1, 2):
            out = io.BytesIO()
            soundfile.write(out, 0.1 * rng.standard_normal((1600, channels)), RATE, **how)
            made.append(out.getvalue())
    return made


def _audio(content: bytes, folder: Path, whole: bytes) -> object:
    path = folder / "x.wav"
    path.write_bytes(content)
    found = decode((path,), 0, "x", 16_000)
    seconds = audio_seconds(path)
    if not 0 < seconds < 1e9 or not np.isfinite(found.scale):
        raise EscapeError(f"{seconds} s at scale {found.scale}")
    if content == whole and abs(len(found.samples) - 3200) > 2400:
        raise EscapeError(f"{len(found.samples)} samples of 3200")
    return found


@cache
def archives() -> list[bytes]:
    """A zip and tar archives under each packing."""
    files = {"a.txt": b"alpha" * 100, "b/c.txt": b"beta" * 50, "b/d.bin": bytes(range(256))}
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        made.append(out.getvalue())
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
                for name, content in files.items():
                    info = tarfile.TarInfo(name if name != "a.txt" else "é" * 60)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            made.append(out.getvalue())
    return made


_NAMES = (
    "../x", "/x", "a/../../x", "x" * 300, "a\\b", "C:x", "", ".", "./", "a//b", "x\x01", "\udc80", "é", "b",
    "b/c.txt/d",
)  # fmt: skip


def _damaged_archive(rng: Random, content: bytes) -> bytes:
    """Bytes, also below the packing, or an archive with wild names, kinds and sizes."""
    if rng.random() < 0.7:
        return damaged_bytes(rng, content)
    out = io.BytesIO()
    if rng.random() < 0.4:
        with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in (*rng.choices(_NAMES[:-4], k=2), "b/c.txt"):
                info = zipfile.ZipInfo(name.encode(errors="replace").decode() or "x")
                info.external_attr = rng.choice([0, 0o120777, 0o020666, 0o100644, 0xFFFF]) << 16
                archive.writestr(info, b"x")
        return damaged_bytes(rng, out.getvalue()) if rng.random() < 0.3 else out.getvalue()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        for name in (*rng.choices(_NAMES, k=2), "b/c.txt"):
            info = tarfile.TarInfo(name)
            info.type = rng.choice([b"0", b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"x", b"S", b"V", b"\0"])
            info.linkname = rng.choice(["", "/etc/passwd", "../x"])
            info.size = rng.choice([1, 1, 0, 5, 10**6, 2**40])
            archive.addfile(info, io.BytesIO(bytes(min(info.size, 5))) if info.size < 6 else None)
    plain = out.getvalue()
    return damaged_bytes(rng, plain) if rng.random() < 0.3 else plain


def _archive(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "in").mkdir()
    (folder / "in" / "archive").write_bytes(content)
    try:
        unpack(folder / "in" / "archive", folder / "in" / "content", max_bytes=LIMIT)
    finally:
        outside = [
            path for path in folder.rglob("*") if path.is_symlink() or (path.parent == folder and path.name != "in")
        ]
        size = sum(path.stat().st_size for path in (folder / "in" / "content").rglob("*") if path.is_file())
        if outside or size > LIMIT:
            raise EscapeError(f"wrote {outside} and {size} bytes")
    return size


@cache
def _sounds() -> Path:
    """A folder with clips and pictures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-clips-"))
    for number in range(6):
        wave = 0.1 * np.random.default_rng(number).standard_normal(800 + 80 * number)
        soundfile.write(folder / f"{number}.wav", wave, RATE)
        Image.new("RGB", (8, 6), (255, number, 51)).save(folder / f"{number}.png")
    return folder


def _tables() -> list[bytes]:
    labels = ("dog", "cat|loud", "cat", "dog", "rain", "rain")
    head = "path,label,fold,group,text,image\n"
    full = [f"clips/{n}.wav,{name},{n % 3},g{n},a {name},clips/{n}.png" for n, name in enumerate(labels)]
    parts = ("train", "train", "val", "test", "test", "train")
    split = [f"clips/{n}.wav,{name},{parts[n]}" for n, name in enumerate(labels)]
    plain = [f"clips/{n}.wav,{name}" for n, name in enumerate(labels)]
    tables = (head + "\n".join(full), "path,label,split\n" + "\n".join(split), "path,label\n" + "\n".join(plain))
    return [f"{text}\n".encode() for text in tables]


def _manifest(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "clips").symlink_to(_sounds())
    (folder / "x.csv").write_bytes(content)
    entry = registry().datasets["manifest"]
    return open_clips(entry.spec, folder / "x.csv", load=entry.factory)


def _esc50() -> list[bytes]:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target in (0, 1, 38):
            lines.append(
                f"{fold}-{fold}{target}-A-{target}.wav,{fold},{target},k{target},{target != 1},{fold}{target},A"
            )
    return ["\n".join([*lines, ""]).encode()]


def _publishers_table(content: bytes, folder: Path, whole: bytes) -> object:
    for name in ("meta", "audio"):
        (folder / name).mkdir()
    (folder / "meta" / "esc50.csv").write_bytes(content)
    for line in whole.decode().splitlines()[1:]:
        (folder / "audio" / line.partition(",")[0]).symlink_to(_sounds() / "0.wav")
    entry = registry().datasets["esc50"]
    return open_clips(entry.spec, folder, load=entry.factory)


@cache
def _pictures() -> list[bytes]:
    made = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        out = io.BytesIO()
        Image.new("RGB", (20, 15), (200, 100, 50)).save(out, kind)
        made.append(out.getvalue())
    return made


def _picture(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.png").write_bytes(content)
    return np.asarray(read_picture(folder / "x.png", "RGB"))


@cache
def clips() -> Clips:
    """Four clips, of which two hold the same samples."""
    paths = tuple(_sounds() / f"{number}.wav" for number in (0, 1, 2, 0))
    return Clips(
        title="clips", ids=("a", "b", "c", "d"), targets=np.array([0, 1, 0, 1]), label_names=("x", "y"), audio=paths,
        sample_rate=RATE, clip_samples=900, manifest_sha256="m",
    )  # fmt: skip


class _FrontEnd(torch.nn.Module):
    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return audio[:, None, :100]


def _expected() -> Waveforms:
    return open_waveforms(clips(), trim_db=None, fill="zeros")


def _used() -> dict[str, Any]:
    """All that caches give, as one mapping."""
    waves = _expected()
    features = open_features(waves, _FrontEnd(), key="k")
    copies = know_copies(clips()).copies
    return {
        "samples": np.array(waves.samples), "lengths": waves.lengths, "report": waves.report,
        "features": np.array(features.values), "copies": copies, "digests": file_digests(clips().audio),  # type: ignore[arg-type]
    }  # fmt: skip


@cache
def _right(_: str) -> dict[str, Any]:
    return _used()


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def _cached_files() -> list[Path]:
    root = cache_root()
    files = (path for path in root.rglob("*") if path.is_file())
    return sorted(path for path in files if "damaged" not in str(path.relative_to(root)))


def _cache(damaged: tuple[float, int], _: Path, __: object) -> object:
    """A file of the cache is damaged: what comes of it is right, and the entry is named, once."""
    right = _right(str(cache_root()))
    files = _cached_files()
    path = files[int(damaged[0] * len(files))]
    rng, whole = Random(damaged[1]), path.read_bytes()
    change = damaged_json if path.suffix == ".json" else damaged_bytes
    content = whole if damaged[1] < 0 else change(rng, whole)
    path.write_bytes(content)
    store._checksum.cache_clear()  # as in another process
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _used()
        named = [str(one.message) for one in caught]
        again = _used()
    if not (_equal(found, right) and _equal(again, right)):
        raise EscapeError(f"other values after damage to {path.name}")
    if len(caught) > len(named) or not all(issubclass(one.category, CacheWarning) for one in caught):
        raise EscapeError(f"warns {[str(one.message) for one in caught]}")
    # The base is read only to make what is made of it; a row of the index that is none any more is written again.
    entry = path.suffix != ".sqlite" and "base-" not in str(path)
    if content != whole and not named and entry and path.read_bytes() != content:
        raise EscapeError(f"{path.name} was made again without a word")
    if "base-" in str(path):
        path.write_bytes(whole)
    if named:
        raise DataError(named[0])
    return found


def _some_file(rng: Random, _: object) -> tuple[float, int]:
    return rng.random(), rng.randrange(1 << 30)


def readers() -> Sequence[Reader]:
    """One for each kind of file."""
    audio: list[Reader] = []
    for kind in KINDS:
        made: Callable[[], Sequence[bytes]] = lambda kind=kind: recordings(kind)  # type: ignore[misc]  # noqa: E731
        audio.append(Reader(name=f"audio: {kind}", samples=made, damage=damaged_bytes, read=_audio))
    return (
        *audio,
        Reader(name="archives: zip, tar", samples=archives, damage=_damaged_archive, read=_archive, share=1.5),
        Reader(name="manifests", samples=_tables, damage=damaged_table, read=_manifest, share=1.5),
        Reader(name="publishers' tables", samples=_esc50, damage=damaged_table, read=_publishers_table, share=0.5),
        Reader(name="pictures", samples=_pictures, damage=damaged_bytes, read=_picture, share=0.5),
        Reader(name="caches", samples=lambda: [(0.0, -1)], damage=_some_file, read=_cache),
    )
