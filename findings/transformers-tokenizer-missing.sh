#!/usr/bin/env bash
# A CLAP folder that was saved without its tokenizer still gives one: of special tokens alone, to which all texts are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0
cd "$folder"
cat >look.py <<'PYTHON'
import transformers
from transformers import AutoTokenizer, ClapConfig

ClapConfig().save_pretrained("clap")  # what the model writes of itself; nobody saved a tokenizer
tokenizer = AutoTokenizer.from_pretrained("clap", local_files_only=True)
dog, rain = (tokenizer(f"This is a sound of {what}.")["input_ids"] for what in ("a dog", "rain"))
print(transformers.__version__, type(tokenizer).__name__, len(tokenizer), dog == rain)
PYTHON
seen=$(TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1 "$folder/venv/bin/python" look.py 2>/dev/null)
echo "transformers, tokenizer, words it knows, whether two texts have the same ids: $seen"
read -r version _ words same <<<"$seen"
[ "$version" = "5.24.0" ] && [ "$words" -lt 10 ] && [ "$same" = "True" ]
