"""The published arrays of Khacef et al.: on small trees in their layout, whole and damaged."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.builtin
from bench.__main__ import main
from bench.data.check import check_clips
from bench.errors import DataError
from bench.plugins.discovery import load_modules
from bench.protocols.split import make_split
from bench.results.store import Store
from bench_datasets import khacef
from bench_datasets.khacef import read_labels

pytestmark = pytest.mark.usefixtures("warm_workers")

FRAMES, COEFFICIENTS, SIDE = 39, 13, 28


def utterances(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``(count, 507)`` frame by frame, each coefficient a slow walk around its digit's own mean, and the digits."""
    rng = np.random.default_rng(seed)
    digits = np.arange(count) % 10
    means = np.random.default_rng(0).normal(size=(10, COEFFICIENTS)) * 3
    walk = np.zeros((count, FRAMES, COEFFICIENTS))
    walk[:, 0] = rng.normal(size=(count, COEFFICIENTS))
    for frame in range(1, FRAMES):
        walk[:, frame] = 0.85 * walk[:, frame - 1] + 0.5 * rng.normal(size=(count, COEFFICIENTS))
    values = (walk + means[digits][:, None]).reshape(count, -1)
    return values.astype(np.float32), digits.astype(np.int64)


def pictures(digits: np.ndarray, seed: int) -> np.ndarray:
    """``(count, 784)``: a bar in the row of the digit, between 0 and 255."""
    rng = np.random.default_rng(seed)
    images = np.zeros((len(digits), SIDE, SIDE))
    images[np.arange(len(digits)), 2 + 2 * digits] = 255
    images += rng.uniform(0, 40, images.shape) * (rng.uniform(size=images.shape) < 0.2)
    return np.clip(images, 0, 255).reshape(len(digits), -1).astype(np.uint8)


def write_tree(folder: Path, train: int = 120, test: int = 20, distinct: int = 70) -> Path:
    """The five files; the training clips repeat ``distinct`` utterances.

    Returns:
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    spoken, digits = utterances(distinct, 1)
    order = rng.permutation(np.concatenate([np.arange(distinct), rng.integers(0, distinct, train - distinct)]))
    heard, asked = utterances(test, 2)
    np.save(folder / "x_train_sp.npy", spoken[order])
    np.save(folder / "x_train_wr.npy", pictures(digits[order], 3))
    np.save(folder / "x_test_sp.npy", heard)
    np.save(folder / "x_test_wr.npy", pictures(asked, 4))
    lines = [f"{row},{digit}" for row, digit in enumerate(digits[order].tolist())]
    (folder / "y_train.csv").write_text("\n".join(["row_id,label", *lines]) + "\n")
    return folder


PROTOCOLS = load_modules(bench.builtin).registry.protocols


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "digits-khacef")


def change(path: Path, edit) -> None:
    np.save(path, edit(np.load(path)))


def test_everything_is_as_the_files_say(tree):
    clips = check_clips(khacef.load(tree.parent), "digits-khacef")
    assert (len(clips), clips.audio, clips.sample_rate, clips.clip_samples) == (140, None, 16_000, 16_000)
    assert (clips.ids[0], clips.ids[119], clips.ids[120]) == ("train-00000", "train-00119", "test-00000")
    assert clips.splits == ("train",) * 120 + ("predict",) * 20
    assert not clips.targets[120:].any()
    lines = (tree / "y_train.csv").read_text().splitlines()[1:]
    assert clips.targets[:120].tolist() == [int(line.split(",")[1]) for line in lines]
    assert not clips.faithful
    assert clips.title.endswith("altered)")


def test_features_are_coefficients_by_frames(tree):
    clips = khacef.load(tree)
    published = np.concatenate([np.load(tree / name) for name in ("x_train_sp.npy", "x_test_sp.npy")])
    assert clips.features.shape == (140, 13, 39)
    assert clips.features.dtype == np.float32
    for clip, coefficient, frame in ((0, 0, 0), (7, 12, 0), (7, 3, 38), (139, 5, 20)):
        assert clips.features[clip, coefficient, frame] == published[clip, 13 * frame + coefficient]


def test_images_come_in_any_order_and_between_0_and_1(tree):
    clips = khacef.load(tree)
    train, test = (np.load(tree / f"x_{part}_wr.npy") for part in ("train", "test"))
    images = clips.images([130, 0, 119, 120])
    assert images.shape == (4, 1, 28, 28)
    assert images.dtype == np.float32
    expected = np.stack([test[10], train[0], train[119], test[0]]).reshape(4, 1, 28, 28) / 255
    np.testing.assert_allclose(images, expected, atol=1e-7)
    assert clips.images([]).shape == (0, 1, 28, 28)
    assert any("0 to 255" in note for note in clips.notes)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_images_between_0_and_1_are_left_alone(tree, kind):
    before = khacef.load(tree).images(np.arange(140))
    for part in ("train", "test"):
        change(tree / f"x_{part}_wr.npy", lambda values: (values / 255).astype(kind))
    clips = khacef.load(tree)
    np.testing.assert_allclose(clips.images(np.arange(140)), before, atol=1e-7)
    assert any("stored as 0 to 1" in note for note in clips.notes)


def test_equal_utterances_are_one_group_whatever_the_width_of_their_numbers(tree):
    clips = khacef.load(tree)
    spoken = np.concatenate([np.load(tree / "x_train_sp.npy"), np.load(tree / "x_test_sp.npy")])
    _, inverse = np.unique(spoken, axis=0, return_inverse=True)
    groups = np.asarray(clips.groups)
    assert len(set(clips.groups[:120])) == 70
    assert ((inverse[:, None] == inverse) == (groups[:, None] == groups)).all()
    for part in ("train", "test"):
        change(tree / f"x_{part}_sp.npy", lambda values: values.astype(np.float64))
    assert khacef.load(tree).groups == clips.groups


def test_repeated_utterances_leak_in_a_random_split_and_not_in_groups(tree):
    clips = khacef.load(tree)
    shuffled = make_split(PROTOCOLS["random-80-20"], clips, 0)
    train = {clips.groups[i] for i in shuffled.train}
    assert shuffled.leak.rate == pytest.approx(np.mean([clips.groups[i] in train for i in shuffled.test]))
    assert shuffled.leak.rate > 0.2
    assert len(shuffled.train) + len(shuffled.test) == 120
    seen = []
    for fold in range(1, 6):
        grouped = make_split(PROTOCOLS["grouped-5"], clips, fold)
        assert grouped.leak.rate == 0
        assert max(*grouped.train, *grouped.test) < 120
        seen += grouped.test.tolist()
    assert sorted(seen) == list(range(120))


def test_manifest_depends_on_what_is_in_the_files(tree):
    found = {khacef.load(tree).manifest_sha256}
    assert found == {khacef.load(tree).manifest_sha256}
    change(tree / "x_train_wr.npy", lambda values: np.where(values == values.max(), values - 1, values))
    found.add(khacef.load(tree).manifest_sha256)
    change(tree / "x_test_sp.npy", lambda values: values + np.float32(1e-3))
    found.add(khacef.load(tree).manifest_sha256)
    assert len(found) == 3


def test_values_in_another_order_are_refused(tree):
    path = tree / "x_train_sp.npy"
    original = np.load(path)
    change(path, lambda values: values.reshape(-1, 39, 13).transpose(0, 2, 1).reshape(-1, 507))
    with pytest.raises(DataError, match=r"correlate 0\.\d\d, values 1 apart .* coefficient by coefficient"):
        khacef.load(tree)
    np.save(path, original[:, np.random.default_rng(0).permutation(507)])
    with pytest.raises(DataError, match="is not 39 frames of 13 coefficients"):
        khacef.load(tree)
    np.save(path, np.ones_like(original))
    with pytest.raises(DataError, match="all 120 rows are equal"):
        khacef.load(tree)


def test_columns_that_never_change_do_not_spoil_the_check(tree):
    change(tree / "x_train_sp.npy", lambda values: np.where(np.arange(507) >= 400, 0, values))
    assert khacef.load(tree).features.shape == (140, 13, 39)


@pytest.mark.parametrize(
    ("name", "edit", "says"),
    [
        ("x_train_wr.npy", lambda v: v[:, :-1], r"shape \(120, 783\); expected is \(clips, 784\)"),
        ("x_test_sp.npy", lambda v: v[:-1], r"x_test_wr.npy has 20 rows, x_test_sp.npy has 19"),
        ("x_train_wr.npy", lambda v: v.astype(float) - 1, "runs from -1 to 254"),
        ("x_train_wr.npy", lambda v: v.astype(float) * np.nan, "runs from nan"),
        ("x_test_wr.npy", lambda v: v / 255, r"x_train_wr.npy runs to 255 but x_test_wr.npy to 1"),
        ("x_train_sp.npy", lambda v: np.where(np.arange(507) == 3, np.inf, v), "120 of 120 rows hold values"),
        ("x_train_sp.npy", lambda v: v.astype(str), "expected are numbers"),
        ("x_train_sp.npy", lambda v: v[:0], r"shape \(0, 507\)"),
    ],
)
def test_damaged_arrays(tree, name, edit, says):
    change(tree / name, edit)
    with pytest.raises(DataError, match=says):
        khacef.load(tree)


def test_missing_torn_and_pickled_files(tree):
    content = (tree / "x_test_sp.npy").read_bytes()
    (tree / "x_test_sp.npy").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"cannot read .*x_test_sp\.npy"):
        khacef.load(tree)
    np.save(tree / "x_test_sp.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot read .*x_test_sp\.npy"):
        khacef.load(tree)
    (tree / "x_test_sp.npy").unlink()
    (tree / "y_train.csv").unlink()
    with pytest.raises(DataError, match=r"lacks x_test_sp\.npy, y_train\.csv"):
        khacef.load(tree)
    (tree / "x_train_wr.npy").unlink()
    with pytest.raises(DataError, match=r"no x_train_wr\.npy"):
        khacef.load(tree.parent)


def test_labels_of_other_rows_are_noticed(tree):
    path = tree / "y_train.csv"
    digits = [line.split(",")[1] for line in path.read_text().splitlines()[1:]]
    path.write_text("label\n" + "\n".join(digits[::-1]) + "\n")
    with pytest.raises(DataError, match=r"does not belong to x_train_sp\.npy: \d+ of \d+ repeated utterances"):
        khacef.load(tree)


FORMS = {
    "two columns": ("row_id,label\n", "{row},{digit}\n"),
    "two columns the other way": ("label,row_id\n", "{digit},{row}\n"),
    "pandas index": (",label\n", "{row},{digit}\n"),
    "one column": ("digit\n", "{digit}\n"),
    "no header": ("", "{digit}\n"),
    "no header, two columns": ("", "{row},{digit}\n"),
    "savetxt": ("", "{digit}.000000000000000000e+00\n"),
    "blank lines, Windows": ("\ufefflabel\r\n", "{digit}\r\n\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
@given(digits=st.lists(st.integers(0, 9), min_size=1, max_size=30), first=st.sampled_from([0, 1]))
def test_labels_in_every_form(tmp_path_factory, form, digits, first):
    header, line = FORMS[form]
    path = tmp_path_factory.mktemp("labels") / "y_train.csv"
    text = header + "".join(line.format(row=row + first, digit=digit) for row, digit in enumerate(digits))
    path.write_bytes(text.encode())
    assert read_labels(path, len(digits)).tolist() == digits


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no line"),
        ("label\n1\n2\n", "holds 2 labels for 3"),
        ("1\n2\n3\n4\n", "holds 4 labels for 3"),
        ("label\n1\n2\n10\n", "1 labels are no digit; line 4 has '10', allowed are 0 to 9"),
        ("label\n1\n2.5\nthree\n", "2 labels are no digit; line 3 has '2.5'"),
        ("row_id,digit\n0,1\n1,2\n2,3\n", "has columns 'row_id', 'digit'; one of two must be named 'label'"),
        ("row_id,label\n0,1\n2,2\n1,3\n", "line 3 is row '2', not 1; rows must stand in order"),
        ("row_id,label\na,1\nb,2\nc,3\n", "line 2 is row 'a'"),
        ("1,2,3\n", "lines of 3 cells"),
        ("row_id,label\n0,1\n1\n2,3\n", "lines of 1, 2 cells"),
        ("label\n1\n\xff2\n3\n", "cannot read"),
    ],
)
def test_malformed_labels(tmp_path, text, says):
    path = tmp_path / "y_train.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=re.escape(says)):
        read_labels(path, 3)


@pytest.mark.slow
def test_a_run_scores_predicts_and_reports_the_leak(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    words = [
        "run", "--models", "digit_fusion.rnn_linear", "--dataset", "digits-khacef", "--data", str(tree.parent),
        "--recipe", "smoke", "--set", "recipe.epochs=1", "--no-profile", "--device", "cpu", "--jobs", "1",
    ]  # fmt: skip
    grouped, shuffled = tmp_path / "grouped", tmp_path / "shuffled"
    assert main([*words, "--folds", "1", "--out", str(grouped)]) == 0
    assert main([*words, "--protocol", "random-80-20", "--out", str(shuffled)]) == 0
    ((clean,), (leaking,)) = (Store(out).records()[0] for out in (grouped, shuffled))
    assert clean.provenance["protocol"]["leak"]["rate"] == 0
    assert leaking.provenance["protocol"]["leak"]["rate"] > 0.2
    assert not leaking.provenance["protocol"]["ranked"]
    assert (clean.cell.frontend, clean.cell.inputs) == ("given", "audio+image")
    ids = Store(grouped).predictions(clean)["ids"].tolist()
    assert ids
    assert all(name.startswith("train-") for name in ids)
    (path,) = (grouped / "records").rglob(clean.artifacts["predicted"]["file"])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["id"] for row in rows] == [f"test-{i:05d}" for i in range(20)]
    assert {row["label"] for row in rows} <= set("0123456789")
