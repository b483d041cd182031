#!/usr/bin/env bash
# Making an optimiser imports torch's compiler, although nothing is compiled: so a process that trains a small network
# holds 100 MB more than one that only tests it, which is none of the network's. The first operator under a dispatch
# mode (a FLOP counter) does the same, and importing timm does, through torchvision.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.11.0 torchvision==0.26.0 timm==1.0.31 numpy==2.3.5
cd "$folder"
cat >look.py <<'PYTHON'
import sys
import time

import torch


def held() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


network = torch.nn.Linear(64, 10)
clips, labels = torch.randn(16, 64), torch.randint(10, (16,))
torch.nn.functional.cross_entropy(network(clips), labels).backward()
before, start = held(), time.perf_counter()
match sys.argv[1]:
    case "step by hand":
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0.1 * weight.grad
    case "SGD made":
        torch.optim.SGD(network.parameters(), lr=0.1)
    case "operator under a dispatch mode":
        from torch.utils._python_dispatch import TorchDispatchMode

        class Look(TorchDispatchMode):
            def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
                return operator(*args, **(kwargs or {}))

        with Look():
            network(clips)
    case "timm imported":
        import timm
loaded = "torch._dynamo" in sys.modules
print(f"{sys.argv[1]:32} compiler imported: {loaded!s:5}  {time.perf_counter() - start:5.2f} s  {held() - before:4.0f} MiB more")
sys.exit(not loaded)
PYTHON
run() { "$folder/venv/bin/python" -W ignore look.py "$1"; }
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__.partition("+")[0])'
if run "step by hand"; then exit 1; fi
run "SGD made"
run "operator under a dispatch mode"
run "timm imported"
