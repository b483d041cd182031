#!/usr/bin/env bash
# How much of an MP3 file without a Xing header soundfile returns depends on bytes that hold no audio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import os
import sys
import threading

import numpy as np
import soundfile

RATE = 44_100
# A quiet second, then a loud one, at a variable bit rate: the first frame is small, most others are large.
rng = np.random.default_rng(0)
sound = np.concatenate([0.01 * np.sin(np.arange(RATE) * 0.03), rng.uniform(-0.5, 0.5, RATE)])
whole = io.BytesIO()
soundfile.write(whole, sound, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
data = whole.getvalue()
# An encoder that writes to a pipe cannot go back to write the Xing frame. Without that frame the file is valid.
bare = data[data.find(data[:2], data.find(b"Xing")) :]


def by_name(content: bytes) -> int:
    with open("clip.mp3", "wb") as file:
        file.write(content)
    return len(soundfile.read("clip.mp3")[0])


def by_pipe(content: bytes) -> int:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=feed)
    thread.start()
    with soundfile.SoundFile(reading) as file:
        found = 0
        while len(block := file.read(1152)):
            found += len(block)
    thread.join()
    return found


print(f"soundfile {soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}, {len(sound)} samples written")
found = {
    "with its Xing frame": by_name(data),
    "without it": by_name(bare),
    "without it, and 5000 zero bytes behind the audio": by_name(bare + bytes(5000)),
    "without it, through a pipe": by_pipe(bare),
}
for name, length in found.items():
    print(f"{length:8d} samples read {name}")
full, short, padded, piped = found.values()
held = full == len(sound) and short < len(sound) / 2 and short < padded < len(sound) and piped >= len(sound)
print("as found: no error, and the length follows the size of the file" if held else "CHANGED")
sys.exit(not held)
PYTHON
