"""The table of rules: what each harness does to embeddings, one change after another from the clean protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.studies.translate import heads
from bench.studies.translate.divisions import Case, Fold, kfold, kfold_few, official, three_of_five

Divide = Callable[[Case], list[Fold]]


SECONDS: dict[heads.Head, int] = {heads.chosen_regression: 15, heads.perceptron: 240}
"""About what a head takes for 2 000 x 512 values on one core, for the time left; others 3 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One more thing that a rule does otherwise, in a word (``cause``) and a line; what is done from there on.

    Where the ``head`` tells of several epochs, ``pick`` takes one.
    """

    cause: str
    text: str
    divide: Divide
    head: heads.Head
    pick: heads.Pick | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a release of a harness does; its last step is the rule as a whole.

    Attributes:
        sources: ``file:lines`` of that release and what stands there.
        quality: Whether the score says something of the encoder.
        folds: Folds that it takes at least.
    """

    name: str
    title: str
    version: str
    sources: tuple[str, ...]
    steps: tuple[Step, ...]
    quality: bool = True
    folds: int = 2


CLEAN = Step(
    cause="clean", text="the authors' folds, logistic regression, C chosen inside the training clips",
    divide=official, head=heads.chosen_regression,
)  # fmt: skip
_NEAREST = Step(
    cause="classifier", text="10 neighbours by cosine, softmax at 0.07", divide=official, head=heads.cosine_neighbours
)
_NEAREST_AT = (
    "xares/task.py:392-405 the authors' folds, each tested once, k-NN on all others",
    "xares/trainer.py:231-249 10 neighbours, weighted by a softmax of their similarity over 0.07",
)
_HEAR = "heareval/predictions/task_predictions.py"

RULES: tuple[Rule, ...] = (
    Rule(
        name="mteb", title="mteb", version="2.26.0",
        sources=(
            "mteb/tasks/classification/zxx/esc50.py:45-48 ESC50 is cross-validated",
            "mteb/abstasks/classification.py:355-357 KFold(5, shuffle, random_state 42) over the clips",
            "mteb/abstasks/classification.py:496-511 8 clips a class, in an order shuffled on from fold to fold",
            "mteb/abstasks/classification.py:110-114 LogisticRegression(max_iter=100), nothing standardised",
        ),
        steps=(
            Step(cause="leak", text="folds over clips, not recordings", divide=kfold, head=heads.chosen_regression),
            Step(cause="fewer clips", text="8 a class", divide=kfold_few, head=heads.chosen_regression),
            Step(cause="C fixed", text="C = 1", divide=kfold_few, head=heads.plain_regression),
            Step(cause="unscaled features", text="at most 100 steps", divide=kfold_few, head=heads.raw_regression),
        ),
    ),
    Rule(
        name="xares-linear", title="X-ARES linear", version="0.1.3",
        sources=(
            "tasks/esc50_task.py:9 the authors' five folds",
            "xares/models/simple.py:19-20 LayerNorm, then a linear layer",
            "xares/task.py:77-80 batches of 32, rate 1e-3, 10 epochs",
            "xares/trainer.py:123-131 Adam's rate falls to a tenth by a cosine over the epochs",
            "xares/task.py:266-273 the tested fold chooses the epoch",
        ),
        steps=(
            Step(cause="classifier", text="LayerNorm + linear, ten epochs", divide=official,
                 head=heads.xares_layer, pick=heads.last_epoch),
            Step(cause="epoch picked on test", text="best of ten", divide=official,
                 head=heads.xares_layer, pick=heads.best_epoch_of_each),
        ),
    ),
    Rule(
        name="xares-knn-repaired", title="X-ARES k-NN, repaired", version="0.1.3", sources=_NEAREST_AT,
        steps=(_NEAREST,),
    ),
    Rule(
        name="xares-knn", title="X-ARES k-NN, as written", version="0.1.3", quality=False,
        sources=(*_NEAREST_AT, "xares/trainer.py:224 transposed before each row is scaled: features, not clips"),
        steps=(
            _NEAREST,
            Step(cause="unscaled features", text="not each clip, each feature is scaled to length 1",
                 divide=official, head=heads.misscaled_neighbours),
        ),
    ),
    Rule(
        name="ast", title="AST script, its head alone", version="31088be",
        sources=(
            "egs/esc50/run_esc.sh:58-75 the authors' folds, each tested once; 25 epochs in batches of 48",
            "egs/esc50/run_esc.sh:22-27 rate 1e-4 for weights other than its own of AudioSet",
            "egs/esc50/run_esc.sh:44-46 from the sixth epoch on 0.85 times the rate of the one before",
            "src/models/ast_models.py:132 LayerNorm, then a linear layer",
            "src/traintest.py:53 Adam with betas 0.95 and 0.999, decay 5e-7",
            "egs/esc50/get_esc_result.py:25-36 one epoch for all folds, the best by test accuracy averaged over them",
        ),
        steps=(
            Step(cause="classifier", text="LayerNorm + linear, 25 epochs", divide=official,
                 head=heads.ast_layer, pick=heads.last_epoch),
            Step(cause="epoch picked on test", text="best of 25 by the mean over folds",
                 divide=official, head=heads.ast_layer, pick=heads.best_epoch_of_all),
        ),
    ),
    Rule(
        name="hear", title="HEAR", version="2021.1.3", folds=3,
        sources=(
            f"{_HEAR}:1142-1153 the fold after the tested one validates, the others train",
            f"{_HEAR}:59-96 perceptrons of 1 or 2 layers of 1024, four rates, two initialisations",
            "heareval/predictions/runner.py:57-63 8 points of the grid, drawn",
            f"{_HEAR}:999-1007 the best epoch on validation, every third looked at; patience 20, at most 500",
            f"{_HEAR}:1344-1394 the grid is searched on the first split, its best point serves all",
            f"{_HEAR}:847-853 shuffled only where the split is called train, as folds never are",
        ),
        steps=(
            Step(cause="fewer clips", text="one fold less", divide=three_of_five, head=heads.chosen_regression),
            Step(cause="classifier", text="perceptron, grid of the first split, never shuffled",
                 divide=three_of_five, head=heads.perceptron),
        ),
    ),
)  # fmt: skip
