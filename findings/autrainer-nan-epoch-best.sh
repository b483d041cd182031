#!/usr/bin/env bash
# autrainer keeps the epoch in which a model's output became NaN as the best one, where the metric is an error (MSE, MAE):
# the value that stands for NaN is the best there can be, though its documentation says the worst.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
pip audmetric==1.2.2 numpy==2.3.5 pandas==2.3.3 scikit-learn==1.8.0 hydra-core==1.3.2 hydra-filter-sweeper==2.1.0 PyYAML==6.0.3
pip --no-deps autrainer==0.10.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from autrainer.metrics import CCC, MAE, MSE

rng = np.random.default_rng(0)
truth = rng.uniform(0, 1, 200)
epochs = [truth + spread * rng.standard_normal(200) for spread in (0.4, 0.2, 0.1)] + [np.full(200, np.nan)]
print(f"autrainer {version('autrainer')}: three epochs that get better, and one whose predictions are NaN")
kept = {}
for metric in (CCC(), MSE(), MAE()):
    best, kept[metric.name] = metric.starting_metric, 0
    scores = [metric(truth, predicted) for predicted in epochs]
    for epoch, score in enumerate(scores, 1):  # as ModularTaskTrainer.evaluate chooses the state that is tested
        if metric.compare(score, best):
            best, kept[metric.name] = score, epoch
    shown = ", ".join(f"{score:.3g}" for score in scores)
    print(f"{metric.name}: {shown}; kept as best: epoch {kept[metric.name]}, by get_best_pos {metric.get_best_pos(np.array(scores)) + 1}")
documented = " ".join(MSE.__mro__[1].__init__.__doc__.split("set to")[1].split()[:1])
print(f"documented to stand for NaN in an error: {documented}")
same = documented == "1e32."
sys.exit(0 if same and kept == {"ccc": 3, "mse": 4, "mae": 4} else 1)
PYTHON
