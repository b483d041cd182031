"""Each rule's score against an implementation of its own here, written from the releases that the table names."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, ParameterGrid
from sklearn.preprocessing import StandardScaler
from torch import nn

from bench.errors import SelectionError
from bench.protocols.groups import inner_folds
from bench.recipe import Recipe
from bench.running.progress import Progress
from bench.studies.translate import heads
from bench.studies.translate.divisions import Case, kfold, kfold_few, official, three_of_five
from bench.studies.translate.render import markdown, table_rows
from bench.studies.translate.rules import RULES
from bench.studies.translate.run import translated

CLASSES, CLIPS, DIM, PLAIN = 4, 120, 12, Recipe(normalise="none", head_c=(0.01, 0.1, 1.0))


@pytest.fixture(scope="module", autouse=True)
def double():
    """Both sides compute in float64: what one processor rounds another way must not decide which epoch is picked."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def case(double) -> Case:
    """Overlapping classes on scales that differ by column, three clips of each recording in one fold."""
    rng = np.random.default_rng(9)
    targets = np.arange(CLIPS) // 3 % CLASSES
    centres = rng.normal(size=(CLASSES, DIM))
    x = (centres[targets] + 1.2 * rng.normal(size=(CLIPS, DIM))) * np.geomspace(0.2, 30, DIM) + 3
    return Case(
        x=x, targets=targets, classes=CLASSES, folds=np.arange(CLIPS) // 12 % 5 + 1,
        groups=[f"r{i // 3}" for i in range(CLIPS)], recipe=PLAIN,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(case, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HIDDEN", 16), ("MOST_EPOCHS", 40), ("PATIENCE", 3), ("LARGE_BATCH", 32)):
            patch.setattr(heads, name, value)
        return translated(case, RULES, Progress(), tmp_path_factory.mktemp("out"))


def score(found, name: str, step: int = -1) -> float:
    (rule,) = (one for one in found["rules"] if one["name"] == name)
    return rule["steps"][step]["score"]


def by_fold(case):
    for number in range(1, 6):
        test = case.folds == number
        yield case.x[~test], case.targets[~test], case.x[test], case.targets[test]


def test_the_clean_protocol_is_scikit_learns_regression_with_c_chosen_in_whole_groups(case, found) -> None:
    scores = []
    for number in range(1, 6):
        train, test = np.flatnonzero(case.folds != number), np.flatnonzero(case.folds == number)
        scaler = StandardScaler().fit(case.x[train].astype(np.float64))
        x, y = scaler.transform(case.x[train]), case.targets[train]
        numbers = {name: str(i) for i, name in enumerate(dict.fromkeys(case.groups[row] for row in train))}
        inner = inner_folds(y, [numbers[case.groups[row]] for row in train], 5)
        kept = []
        for c in PLAIN.head_c:
            right, loss = 0, 0.0
            for part in np.unique(inner):
                head = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(x[inner != part], y[inner != part])
                chances = head.predict_proba(x[inner == part])
                right += int((chances.argmax(1) == y[inner == part]).sum())
                loss -= float(np.log(chances[np.arange(len(chances)), y[inner == part]]).sum())
            kept.append((-right, loss, c))
        head = LogisticRegression(C=min(kept)[2], max_iter=5000, tol=1e-8).fit(x, y)
        scores.append(head.score(scaler.transform(case.x[test]), case.targets[test]))
    assert found["clean"]["score"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_mteb(case, found) -> None:
    scores, order = [], None
    for train, test in KFold(n_splits=5, shuffle=True, random_state=42).split(range(CLIPS)):
        labels, counts, drawn = case.targets[train], Counter(), []
        order = list(range(len(train))) if order is None else order
        np.random.RandomState(42).shuffle(order)
        for i in order:
            if counts[labels[i]] < 8:
                drawn.append(i)
                counts[labels[i]] += 1
        head = LogisticRegression(max_iter=100, random_state=42)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(case.x[train][drawn], labels[drawn])
        scores.append(float((head.predict(case.x[test]) == case.targets[test]).mean()))
    assert score(found, "mteb") == pytest.approx(np.mean(scores), abs=1e-12)


def test_the_xares_linear_layer(case, found) -> None:
    torch.manual_seed(42)
    last, best = [], []
    for train, y, test, asked in by_fold(case):
        x, y = torch.from_numpy(train), torch.from_numpy(y)
        norm, linear = nn.LayerNorm(DIM), nn.Linear(DIM, CLASSES)
        optimizer = torch.optim.Adam([*norm.parameters(), *linear.parameters()], lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=1e-4)
        rights = []
        for _ in range(10):
            order = torch.randperm(len(x))
            for start in range(0, len(x), 32):
                rows = order[start : start + 32]
                optimizer.zero_grad()
                nn.CrossEntropyLoss()(linear(norm(x[rows])), y[rows]).backward()
                optimizer.step()
            schedule.step()
            rights.append(float((linear(norm(torch.from_numpy(test))).argmax(1).numpy() == asked).mean()))
        last.append(rights[-1])
        best.append(max(rights))
    assert score(found, "xares-linear", 0) == pytest.approx(np.mean(last), abs=1e-12)
    assert score(found, "xares-linear") == pytest.approx(np.mean(best), abs=1e-12)
    assert score(found, "xares-linear") > score(found, "xares-linear", 0)


def test_the_ast_script(case, found) -> None:
    torch.manual_seed(42)
    results = []
    for train, y, test, asked in by_fold(case):
        x, y = torch.from_numpy(train), torch.from_numpy(y)
        norm, linear = nn.LayerNorm(DIM), nn.Linear(DIM, CLASSES)
        parts = [*norm.parameters(), *linear.parameters()]
        optimizer = torch.optim.Adam(parts, 1e-4, weight_decay=5e-7, betas=(0.95, 0.999))
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(range(5, 1000)), gamma=0.85)
        rows = []
        for _ in range(25):
            for part in torch.randperm(len(x)).split(48):
                optimizer.zero_grad()
                nn.CrossEntropyLoss()(linear(norm(x[part])), y[part]).backward()
                optimizer.step()
            rows.append(float((linear(norm(torch.from_numpy(test))).argmax(1).numpy() == asked).mean()))
            schedule.step()
        results.append(rows)
    averaged = sum(np.array(rows) for rows in results) / 5
    assert score(found, "ast", 0) == pytest.approx(averaged[-1], abs=1e-12)
    assert score(found, "ast") == pytest.approx(averaged[np.argmax(averaged)], abs=1e-12)


@pytest.mark.parametrize(("name", "dim"), [("xares-knn", 0), ("xares-knn-repaired", 1)])
def test_the_xares_neighbours_as_written_and_repaired(case, found, name, dim) -> None:
    scores = []
    for train, y, test, asked in by_fold(case):
        bank = nn.functional.normalize(torch.from_numpy(train), dim=dim)
        near, index = (nn.functional.normalize(torch.from_numpy(test), dim=1) @ bank.T).topk(10)
        votes = nn.functional.one_hot(torch.from_numpy(y)[index], CLASSES) * (near / 0.07).softmax(1)[..., None]
        scores.append(float((votes.sum(1).argmax(1).numpy() == asked).mean()))
    assert score(found, name) == pytest.approx(np.mean(scores), abs=1e-12)


def hear_fit(case, at: int, conf) -> tuple[float, float]:
    """Best validation score of a split and the test score then; smaller than the rule in width and length."""
    train = torch.from_numpy(np.concatenate([np.flatnonzero(case.folds == f) for f in others(at)]))
    x, y = (torch.from_numpy(a)[train] for a in (case.x, case.targets))
    parts, size, last = [], DIM, "linear"
    for _ in range(conf["hidden_layers"]):
        linear = nn.Linear(size, 16)
        conf["initialization"](linear.weight, gain=nn.init.calculate_gain(last))
        parts += [linear, nn.BatchNorm1d(16), nn.Dropout(0.1), nn.ReLU()]
        size, last = 16, "relu"
    parts.append(nn.Linear(size, CLASSES))
    conf["initialization"](parts[-1].weight, gain=nn.init.calculate_gain(last))
    net = nn.Sequential(*parts)
    optimizer = torch.optim.Adam(net.parameters(), lr=conf["lr"])
    best, kept, waited = -1.0, 0.0, 0
    for epoch in range(40):
        net.train()
        for start in range(0, len(x), 32):
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(net(x[start : start + 32]), y[start : start + 32]).backward()
            optimizer.step()
        if (epoch + 1) % 3 == 0:
            net.eval()
            said = net(torch.from_numpy(case.x)).argmax(1).numpy() == case.targets
            valid = float(said[case.folds == at % 5 + 1].mean())
            waited = 0 if valid > best else waited + 1
            if valid > best:
                best, kept = valid, float(said[case.folds == at].mean())
            if waited >= 3:
                break
    return best, kept


def others(at: int) -> list[int]:
    return [f for f in range(1, 6) if f not in (at, at % 5 + 1)]


def test_hear(case, found) -> None:
    confs = list(
        ParameterGrid(
            {
                "hidden_layers": [1, 2], "lr": [3.2e-3, 1e-3, 3.2e-4, 1e-4],
                "initialization": [nn.init.xavier_uniform_, nn.init.xavier_normal_],
            }
        )
    )  # fmt: skip
    random.Random(42).shuffle(confs)
    torch.manual_seed(42)
    tried = [(hear_fit(case, 1, conf), conf) for conf in confs[:8]]
    (_, first), chosen = sorted(tried, key=lambda one: one[0][0], reverse=True)[0]
    scores = [first, *(hear_fit(case, at, chosen)[1] for at in range(2, 6))]
    assert score(found, "hear") == pytest.approx(np.mean(scores), abs=1e-12)


def test_a_batch_of_one_clip_is_a_sentence(case, monkeypatch) -> None:
    monkeypatch.setattr(heads, "LARGE_BATCH", 71)
    with pytest.raises(SelectionError, match="last batch of 72 clips holds one"):
        heads.perceptron(case, three_of_five(case))


def test_divisions_test_every_clip_once_and_only_kfold_leaks(case) -> None:
    for divide in (official, three_of_five, kfold, kfold_few):
        folds = divide(case)
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(CLIPS))
        for fold in folds:
            parts = [fold.train, fold.choose, fold.test]
            assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        shared = [{case.groups[i] for i in f.train} & {case.groups[i] for i in f.test} for f in folds]
        assert all(shared) if divide in (kfold, kfold_few) else not any(shared)
    assert all((np.bincount(case.targets[fold.train]) == 8).all() for fold in kfold_few(case))
    assert [np.unique(case.folds[f.choose]).tolist() for f in three_of_five(case)] == [[2], [3], [4], [5], [1]]


def test_effects_add_up_and_what_shares_steps_shares_scores(found) -> None:
    for rule in found["rules"]:
        total = sum(step["effect"]["adds"] for step in rule["steps"])
        assert rule["against_clean"]["adds"] == pytest.approx(total, abs=1e-12)
        assert rule["steps"][-1]["score"] == pytest.approx(found["clean"]["score"] + total, abs=1e-12)
        for step in rule["steps"]:
            low, high = step["effect"]["interval"]
            assert low <= step["effect"]["adds"] <= high
    (mteb,) = (rule for rule in found["rules"] if rule["name"] == "mteb")
    assert [step["leak"] > 0.3 for step in mteb["steps"]] == [True] * 4
    assert found["clean"]["leak"] == 0.0
    assert score(found, "xares-knn", 0) == score(found, "xares-knn-repaired")


def test_no_accuracy_ends_above_all_clips_though_folds_differ_in_size(case, tmp_path) -> None:
    told = np.full(case.x.shape, 0.01)
    told[np.arange(CLIPS), case.targets] = 1
    uneven = replace(case, x=told, folds=np.where(np.arange(CLIPS) < 24, 1, 2), groups=None)
    found = translated(uneven, [rule for rule in RULES if rule.name == "xares-linear"], Progress(), tmp_path)
    for low, high in [found["clean"]["interval"], *(step["interval"] for step in found["rules"][0]["steps"])]:
        assert 0 <= low <= high <= 1


def test_a_page_names_every_source_and_marks_what_is_no_quality(found) -> None:
    what = {"model": "m", "title": "T", "clips": CLIPS, "folds": 5, "dim": DIM}
    page = markdown({"what": what, **found})
    for rule in RULES:
        assert all(source.partition(" ")[0] in page for source in rule.sources)
        assert rule.version in page
    marked = [row[0] for row in table_rows(found) if "says nothing" in row[0]]
    assert [name.partition(" (")[0] for name in marked] == ["X-ARES k-NN, as written 0.1.3"]


def test_what_was_done_is_kept_for_these_vectors_alone(case, tmp_path) -> None:
    """The second call fits nothing; other vectors, and a file cut off, are fitted anew; the time left counts these."""
    rules, counted = [rule for rule in RULES if rule.name == "xares-linear"], []
    progress = Progress()
    progress.count = lambda _what, done, _total: counted.append(done)
    first = translated(case, rules, progress, tmp_path)
    files = sorted((tmp_path / "steps").iterdir())
    assert len(files) == 2  # of both lines of the rule one, and one of the clean protocol
    assert counted == sorted(counted)
    assert [counted[0], counted[-1]] == [0, 100]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "_seeded", None)
        patch.setattr(heads, "fit_logistic", None)
        assert translated(case, rules, Progress(), tmp_path) == first
        with pytest.raises(TypeError):
            translated(replace(case, x=case.x * 2), rules, Progress(), tmp_path)
        files[0].write_bytes(files[0].read_bytes()[:-9])
        with pytest.raises(TypeError):
            translated(case, rules, Progress(), tmp_path)
    assert translated(case, rules, Progress(), tmp_path) == first


def test_clips_for_training_of_one_class_are_a_sentence(case, tmp_path) -> None:
    """Before anything is fitted, by whatever rule."""
    alone = replace(case, targets=np.where(case.folds == 1, 0, 1))
    for rule in RULES:
        with pytest.raises(SelectionError, match="one class"):
            translated(alone, [rule], Progress(), tmp_path)
    assert not list(tmp_path.iterdir())
