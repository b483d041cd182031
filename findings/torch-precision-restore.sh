#!/usr/bin/env bash
# Writing torch's float32 matmul precision back as it was read keeps a later global TF32 from reaching matmuls.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.11.0 numpy==2.3.5
cd "$folder"
cat >look.py <<'PYTHON'
import sys

import torch

if "restored" in sys.argv:  # as a block that needs full precision for a moment does when it ends
    torch.set_float32_matmul_precision(torch.get_float32_matmul_precision())
torch.backends.fp32_precision = "tf32"
backends = torch.backends
print(torch.__version__.partition("+")[0], backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision)
PYTHON
untouched=$("$folder/venv/bin/python" look.py)
restored=$("$folder/venv/bin/python" look.py restored)
echo "torch, precision of CUDA matmuls, of oneDNN matmuls, after torch.backends.fp32_precision = \"tf32\":"
echo "$untouched, where nothing was touched before"
echo "$restored, where the old switch was read and written back before"
[ "$untouched" = "2.11.0 tf32 tf32" ] && [ "$restored" = "2.11.0 ieee ieee" ]
