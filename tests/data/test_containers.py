"""Every file is decoded to its end, whatever its header says of the length."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.containers import after_id3, container, without_xing
from bench.data.decode import decode
from bench.data.decoders import Audio, decoder, read_audio
from bench.errors import DataError

RATE = 16_000
SECONDS = 2


def sound() -> np.ndarray:
    """A second of a quiet tone, then a second of noise: its first frame says nothing of the rest."""
    rng = np.random.default_rng(0)
    tone = 0.01 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    return np.concatenate([tone, rng.uniform(-0.5, 0.5, RATE)]).astype(np.float32)


def written(kind: str, samples: np.ndarray | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound() if samples is None else samples, RATE, format=kind, **options)
    return buffer.getvalue()


def read(folder, data: bytes) -> Audio:
    (folder / "clip").write_bytes(data)
    return read_audio((folder / "clip",), 0)


def mp3(mode: str) -> tuple[bytes, bytes]:
    """An MP3 file, and the same without the first frame, which holds the count of frames."""
    data = written("MP3", bitrate_mode=mode, compression_level=0.5)
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    return data, data[data.find(data[:2], tag) :]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_xing_header(tmp_path, mode):
    whole, bare = mp3(mode)
    assert read(tmp_path, whole).samples.shape == (1, SECONDS * RATE)
    found = read(tmp_path, bare)
    assert not found.cut
    assert SECONDS * RATE <= found.samples.shape[1] < SECONDS * RATE + 4 * 1152
    assert np.sqrt(np.mean(found.samples[0, -RATE // 2 : -2000] ** 2)) == pytest.approx(0.29, abs=0.04)


@pytest.mark.parametrize("frames", [0, 5, 20])
def test_mp3_whose_header_counts_too_few(tmp_path, frames):
    data = bytearray(mp3("VARIABLE")[0])
    field = data.find(b"Xing") + 8
    data[field : field + 4] = frames.to_bytes(4, "big")
    assert SECONDS * RATE <= read(tmp_path, bytes(data)).samples.shape[1] < SECONDS * RATE + 4 * 1152


def test_mp3_files_behind_each_other_and_tags_behind_the_audio(tmp_path):
    whole, bare = mp3("CONSTANT")
    assert read(tmp_path, whole + whole).samples.shape[1] >= 2 * SECONDS * RATE
    assert read(tmp_path, whole + b"APETAGEX" + bytes(9000)).samples.shape == (1, SECONDS * RATE)
    tagged = read(tmp_path, bare + b"TAG" + b"x" * 125)
    assert not tagged.cut
    cut = read(tmp_path, whole[: len(whole) // 2])
    assert cut.cut
    assert cut.samples.shape[1] == pytest.approx(SECONDS * RATE / 2, abs=3 * 1152)


@given(total=st.integers(0, 2**36 - 1))
@settings(max_examples=25)
def test_flac_of_any_promised_length(tmp_path_factory, total):
    data = bytearray(written("FLAC"))
    data[21:26] = ((int.from_bytes(data[21:26], "big") >> 36 << 36) + total).to_bytes(5, "big")
    found = read(tmp_path_factory.mktemp("flac"), bytes(data))
    assert found.samples.shape == (1, SECONDS * RATE)
    assert found.cut == (total > SECONDS * RATE)


@given(size=st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 4, SECONDS * RATE * 2, 0x7FFFF000, 2**32 - 1]))
@settings(max_examples=40)
def test_wav_of_any_promised_length(tmp_path_factory, size):
    data = bytearray(written("WAV"))
    field = data.find(b"data") + 4
    data[field : field + 4] = size.to_bytes(4, "little")
    found = read(tmp_path_factory.mktemp("wav"), bytes(data))
    assert found.samples.shape == (1, SECONDS * RATE)
    assert found.cut == (SECONDS * RATE * 2 < size < 0x7FFFF000)


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_file_cut_short_is_said_to_be(tmp_path, kind):
    data = written(kind)
    cut = read(tmp_path, data[: len(data) // 2])
    assert cut.cut
    assert cut.samples.shape[1] == pytest.approx(SECONDS * RATE / 2, abs=50)
    (tmp_path / "clip").write_bytes(data[: len(data) // 2])
    assert decode((tmp_path / "clip",), 0, "a", RATE).changes == {"cut"}
    assert not read(tmp_path, data).cut


def test_chunks_behind_the_samples_are_no_samples(tmp_path):
    data = written("WAV") + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    assert read(tmp_path, data).samples.shape == (1, SECONDS * RATE)
    empty = bytearray(written("WAV", np.zeros(0)) + b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    assert read(tmp_path, bytes(empty)).samples.size == 0


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_every_link_of_a_chained_ogg(tmp_path, subtype):
    one, other = written("OGG", subtype=subtype), written("OGG", sound()[::-1].copy(), subtype=subtype)
    found = read(tmp_path, one + other)
    np.testing.assert_array_equal(
        found.samples, np.concatenate([read(tmp_path, one).samples, read(tmp_path, other).samples], axis=1)
    )
    assert not found.cut
    assert len(container(one + other + one).parts) == 3
    assert read(tmp_path, one + other[: len(other) * 2 // 3]).cut


def test_links_of_different_rates_are_refused(tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(), 8_000, format="OGG")
    with pytest.raises(DataError, match="parts differ in rate"):
        read(tmp_path, written("OGG") + buffer.getvalue())


def test_gsm(tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(), 8_000, format="WAV", subtype="GSM610")
    found = read(tmp_path, buffer.getvalue())
    assert found.rate == 8_000
    assert found.samples.shape[1] == pytest.approx(len(sound()), abs=320)


def test_what_cannot_be_read_names_the_file_and_the_cure(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    with pytest.raises(DataError, match=r"clip 'x'.*a\.m4a.*ffmpeg -i.*BENCH_DECODER=pyav"):
        decode((tmp_path / "a.m4a",), 0, "x", RATE)
    monkeypatch.setenv("BENCH_DECODER", "sox")
    with pytest.raises(DataError, match="'sox' is unknown; use libsndfile or pyav"):
        decoder()


def test_pyav_reads_a_whole_set(tmp_path, monkeypatch):
    pytest.importorskip("av")
    plain = {kind: read(tmp_path, written(kind)) for kind in ("WAV", "FLAC")}
    monkeypatch.setenv("BENCH_DECODER", "pyav")
    assert decoder().startswith("PyAV ")
    for kind, expected in plain.items():
        found = read(tmp_path, written(kind))
        np.testing.assert_allclose(found.samples, expected.samples, atol=1e-6)
        assert found.rate == RATE
    assert read(tmp_path, mp3("VARIABLE")[1]).samples.shape[1] >= SECONDS * RATE


def test_id3_tags_are_stepped_over():
    assert after_id3(b"RIFF") == 0
    tag = b"ID3" + bytes([4, 0, 0, 0, 0, 0, 100]) + b"Xing" * 25
    assert without_xing(tag + b"..Xing") == tag + b".." + bytes(4)
