#!/usr/bin/env bash
# torch's two switches for deterministic kernels are documented as one, but only one of them reaches the compiler; and
# reading that one and writing it back takes away what the environment had asked the compiler for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.11.0 numpy==2.3.5
cd "$folder"
cat >look.py <<'PYTHON'
import sys

import torch

match sys.argv[1]:
    case "use_deterministic_algorithms":
        torch.use_deterministic_algorithms(True, warn_only=True)
    case "set_deterministic_debug_mode":  # "an alternative interface", says its documentation
        torch.set_deterministic_debug_mode("warn")
    case "restored":  # as a block that needs the switch for a moment does when it ends
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        torch.use_deterministic_algorithms(before)
loaded = "torch._inductor" in sys.modules
import torch._inductor.config

enabled = torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode()
print(*enabled, torch._inductor.config.deterministic, loaded)
PYTHON
run() { "$folder/venv/bin/python" look.py "$1"; }
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__.partition("+")[0])'
echo "eager kernels, debug mode, compiler (torch._inductor.config.deterministic), compiler imported by the call:"
one=$(run use_deterministic_algorithms)
other=$(run set_deterministic_debug_mode)
echo "$one after use_deterministic_algorithms(True, warn_only=True)"
echo "$other after set_deterministic_debug_mode(\"warn\")"
export TORCHINDUCTOR_DETERMINISTIC=1
asked=$(run untouched)
restored=$(run restored)
echo "$asked with TORCHINDUCTOR_DETERMINISTIC=1"
echo "$restored with it, after the switch was set and what it was before written back"
[ "$one" = "True 1 True True" ] && [ "$other" = "True 1 False False" ]
[ "$asked" = "False 0 True False" ] && [ "$restored" = "False 0 False True" ]
