"""One encoder's cached embeddings by each rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.clips import Clips
from bench.config.selection import Selection, check_names
from bench.config.settings import Settings
from bench.errors import NoCellError, SelectionError, did_you_mean
from bench.execution.vectors import open_vectors
from bench.planning.plan import expand
from bench.protocols.groups import units
from bench.recipe import FROZEN_SETTINGS, Recipe
from bench.results.folder import write_atomic
from bench.running.preparation import load_all
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics.bootstrap import score_interval
from bench.statistics.paired import paired_cluster_bootstrap
from bench.studies.common import ends, only_model
from bench.studies.translate.divisions import KFOLDS, Case, Indices
from bench.studies.translate.kept import kept_at, read_kept
from bench.studies.translate.rules import CLEAN, RULES, SECONDS, Rule, Step

NAMES = tuple(rule.name for rule in RULES)
READ = {*FROZEN_SETTINGS, "head_c"}

Values = npt.NDArray[np.float64]


def chosen_rules(names: Sequence[str]) -> list[Rule]:
    """The rules of these names, in the order of the table."""
    for name in names:
        if name not in NAMES:
            raise SelectionError(f"--rules: no rule {name!r}; {did_you_mean(name, NAMES)}")
    return [rule for rule in RULES if rule.name in names]


def run_translation(
    selection: Selection, rules: Sequence[Rule], settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Embed every clip once, or find it embedded, and score the vectors by each rule.

    Features in front of the encoder are not normalised unless the selection asks for it: statistics of training clips
    would give each fold vectors of its own.

    Raises:
        SelectionError: The clips have no folds or several labels each, or the model's vectors cannot be kept.
    """
    _check_settings(selection.overrides)
    own = ("recipe.normalise=none", *selection.overrides)
    asked = replace(selection, mode="logistic", overrides=own, evaluate=True, profile=False)
    runner = Runner(asked, settings, progress)
    registry = runner.host.registry
    only_model(asked, registry)
    check_names(asked, registry)
    loaded = load_all(asked, registry, rehash=settings.rehash)
    (data,) = loaded.values()
    folds = _folds(data.clips, rules)
    cells = expand(asked, registry, loaded).cells
    planned = next((one for one in cells if one.decision == "run"), None)
    if planned is None:
        why = "; ".join(sorted({f"{one.cell.model} {one.reason}" for one in cells}))
        raise NoCellError(f"{why}; the rules take a network with embeddings (docs/own-encoder.md)")
    if planned.recipe.shots is not None:
        raise SelectionError(
            f"recipe.shots is {planned.recipe.shots}, and each rule draws its own clips: --set recipe.shots=none"
        )
    bank = open_vectors(registry, runner.preparation.job(planned, runner.launching.alone))
    rows, groups = np.flatnonzero(data.clips.known), units(data.clips)
    case = Case(
        x=np.array(bank.rows[rows]), targets=data.clips.targets[rows].astype(np.int64),
        classes=len(data.clips.label_names), folds=folds[rows], recipe=planned.recipe,
        groups=None if groups is None else [groups[row] for row in rows],
    )  # fmt: skip
    what = {
        **{name: getattr(planned.cell, name) for name in ("model", "dataset", "weights", "frontend", "device")},
        "title": data.clips.title, "clips": len(rows), "dim": case.x.shape[1], "folds": len(np.unique(case.folds)),
        "embeddings": bank.key, "normalise": planned.recipe.normalise,
    }  # fmt: skip
    return {"what": what, **translated(case, rules, progress, settings.out)}


def translated(case: Case, rules: Sequence[Rule], progress: Progress, out: Path) -> dict[str, Any]:
    """Scores of the clean protocol and of each step of each rule; what rules share is done once, ``out`` keeps it."""
    steps = [CLEAN, *(step for rule in rules for step in rule.steps)]
    said = _said(case, steps, progress, out)
    done = {step: _values(case, step, said[step.divide, step.head]) for step in steps}

    def told(step: Step) -> dict[str, Any]:
        values, leak = done[step]
        found: dict[str, Any] = {"cause": step.cause, "text": step.text, "score": float(values.mean()), "leak": leak}
        found |= ends(score_interval(values, case.groups))
        if found["interval"]:  # a fold smaller than others makes values above 1
            found["interval"] = [min(max(end, 0.0), 1.0) for end in found["interval"]]
        return found

    def effect(step: Step, before: Step) -> dict[str, Any]:
        (new, _), (old, _) = (done[one] for one in (step, before))
        return {"adds": float(new.mean() - old.mean()), **ends(paired_cluster_bootstrap(new, old, case.groups))}

    found = []
    for rule in rules:
        pairs = zip(rule.steps, [CLEAN, *rule.steps], strict=False)
        lines = [{**told(step), "effect": effect(step, before)} for step, before in pairs]
        about = {name: getattr(rule, name) for name in ("name", "title", "version", "sources", "quality")}
        found.append({**about, "steps": lines, "against_clean": effect(rule.steps[-1], CLEAN)})
    return {"clean": told(CLEAN), "rules": found}


def _said(case: Case, steps: Sequence[Step], progress: Progress, out: Path) -> dict[Any, list[Indices]]:
    """What each head says on each division, kept or new; the time left counts what is new."""
    every = {(step.divide, step.head): kept_at(out, case, step) for step in steps}
    if any(len(np.unique(case.targets[fold.train])) < 2 for divide, _ in every for fold in divide(case)):
        raise SelectionError("a rule's training clips are all of one class; give --data with several in each fold")
    said = {key: words for key, path in every.items() if (words := read_kept(path, key[0](case))) is not None}
    left = [key for key in every if key not in said]
    total, before = sum(SECONDS.get(head, 3) for _, head in left), 0
    for divide, head in left:

        def tell(share: float, done: int = before, whole: int = SECONDS.get(head, 3)) -> None:
            progress.count("percent of the rules", round(100 * (done + share * whole) / total), 100)

        tell(0.0)
        said[divide, head] = head(replace(case, tell=tell), divide(case))
        write_atomic(every[divide, head], json.dumps([one.tolist() for one in said[divide, head]]).encode())
        before += SECONDS.get(head, 3)
    progress.count("percent of the rules", 100, 100)
    return said


def _values(case: Case, step: Step, found: Sequence[Indices]) -> tuple[Values, float | None]:
    """``(clips,)`` whose mean is the mean accuracy of the folds; the share of tested clips whose group was trained on.

    A clip is worth 1 where it is right, more or less where its fold is smaller or larger than others.
    """
    folds = step.divide(case)
    if step.pick is not None:
        right = np.stack(
            [(one == case.targets[fold.test]).mean(axis=1) for one, fold in zip(found, folds, strict=True)]
        )
        found = [one[epoch] for one, epoch in zip(found, step.pick(right), strict=True)]
    values, leaks = np.zeros(len(case.targets)), 0
    groups = None if case.groups is None else np.asarray(case.groups)
    for fold, said in zip(folds, found, strict=True):
        values[fold.test] = (said == case.targets[fold.test]) * len(values) / (len(folds) * len(fold.test))
        leaks += 0 if groups is None else int(np.isin(groups[fold.test], groups[fold.train]).sum())
    return values, None if groups is None else leaks / len(values)


def _check_settings(overrides: Sequence[str]) -> None:
    """Refuse settings of training that no rule reads."""
    for item in overrides:
        key = item.partition("=")[0].removeprefix("recipe.")
        if key in Recipe.model_fields and key not in READ:
            raise SelectionError(f"--set {item}: no rule reads it; they read {', '.join(sorted(READ))}")


def _folds(clips: Clips, rules: Sequence[Rule]) -> npt.NDArray[np.int64]:
    if clips.targets.ndim != 1:
        raise SelectionError(f"{clips.title}: clips have several labels; the rules take one label a clip, as esc50 has")
    count = 0 if clips.folds is None else len(np.unique(clips.folds[clips.known]))
    need = max(rule.folds for rule in rules)
    if clips.known.sum() < KFOLDS:
        raise SelectionError(
            f"{clips.title} has {clips.known.sum()} clips with a class; mteb alone draws {KFOLDS} folds"
        )
    if clips.folds is None or count < need:
        names = ",".join(rule.name for rule in RULES if rule.folds <= count)
        other = f"give --rules {names}" if names else "`bench list datasets` shows which have folds"
        raise SelectionError(f"{clips.title} has {count} folds, these rules take at least {need}; {other}")
    return clips.folds
