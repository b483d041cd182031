#!/usr/bin/env bash
# A FLAC file whose header leaves the count of samples open: reading in blocks raises at the end and drops samples
# that libsndfile has already delivered.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import soundfile

sound = np.random.default_rng(0).uniform(-0.5, 0.5, 88_200)
soundfile.write("known.flac", sound, 44_100)
data = bytearray(open("known.flac", "rb").read())
# The last 36 bits of these five bytes are the count of samples; RFC 9639 allows 0 for "unknown".
data[21:26] = (int.from_bytes(data[21:26], "big") >> 36 << 36).to_bytes(5, "big")
with open("open.flac", "wb") as file:
    file.write(data)


class Forward(soundfile.SoundFile):
    """soundfile seeks to the new position after each read; a file that calls itself not seekable is left alone."""

    def seekable(self) -> bool:
        return False


def blocks(kind: type, size: int) -> tuple[int, str]:
    found = 0
    with kind("open.flac") as file:
        try:
            while len(block := file.read(size)):
                found += len(block)
        except soundfile.LibsndfileError as error:
            return found, error.error_string.strip()
    return found, "no error"


print(f"soundfile {soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}, {len(sound)} samples written")
held = True
for size in (4096, 30_000):
    plain, error = blocks(soundfile.SoundFile, size)
    forward, none = blocks(Forward, size)
    print(f"blocks of {size}: {plain} samples, then {error!r}; without seeking {forward}, {none}")
    held &= plain == len(sound) // size * size and error != "no error" and (forward, none) == (len(sound), "no error")
print("as found: the last block is lost to a seek behind the end" if held else "CHANGED")
sys.exit(not held)
PYTHON
