"""Weights that a cell starts from: what is read of a file, and what is said of one that does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from bench.errors import CheckpointError
from bench.results.provenance import weights_label, weights_sha256

from .modes import PLAIN, checkpoint, from_file


def test_stored_checkpoint_round_trip(run, stored: Path) -> None:
    recipe = PLAIN.model_copy(update={"lr": 1e-30, "weight_decay": 0.0, "epochs": 1})
    found = from_file(run, "finetune", stored, recipe=recipe)
    before, after = safetensors.torch.load_file(stored), checkpoint(found)
    names = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(before[name], after[name], atol=1e-12) for name in names)
    section = found.record.provenance["weights"]
    assert (section["kind"], section["fresh"], section["loaded"]) == ("file", [], 9)
    assert section["ignored"] == sorted(n for n in before if not n.startswith("model."))
    assert section["sha256"] == weights_sha256(stored)
    assert section["name"] == f"trained~{section['sha256'][:6]}"


def test_other_classes_get_a_fresh_output_layer(run, stored: Path) -> None:
    found = from_file(run, "finetune", stored, dataset="tones-more")
    assert found.record.provenance["weights"]["fresh"] == ["head.bias", "head.weight"]
    assert found.record.provenance["weights"]["loaded"] == 7


def test_own_names_torch_files_and_folders(run, stored: Path, tmp_path: Path) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    plain, folder = tmp_path / "plain.pt", tmp_path / "folder"
    torch.save({"state_dict": tensors}, plain)
    folder.mkdir()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    expected = from_file(run, "knn", stored).arrays["logits"]
    for path in (plain, folder):
        np.testing.assert_array_equal(from_file(run, "knn", path).arrays["logits"], expected)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({f"net.{name}": x for name, x in tensors.items()}, other)
    found = from_file(run, "knn", other, weights_prefix="net.=")
    np.testing.assert_array_equal(found.arrays["logits"], expected)
    with pytest.raises(
        CheckpointError, match=r"modes\.own reads weight files itself: leave out --weights-prefix net\.="
    ):
        from_file(run, "knn", other, model="modes.own", weights_prefix="net.=")


def test_a_factory_that_takes_weights_gets_the_path(run, stored: Path, tmp_path: Path) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(tensors, path)
    found = from_file(run, "knn", path, model="modes.own")
    np.testing.assert_array_equal(found.arrays["logits"], from_file(run, "knn", stored).arrays["logits"])
    assert found.record.provenance["weights"]["loaded"] is None


def bad_file(kind: str, tensors: dict[str, torch.Tensor], path: Path) -> Path:
    """A weight file with one fault."""
    if kind == "missing":
        del tensors["body.1.weight"]
    if kind == "left":
        tensors["tail.weight"] = torch.ones(2)
    if kind == "shape":
        tensors["body.1.weight"] = torch.ones(3, 3)
    if kind == "code":
        torch.save({"a": Path("x")}, path)
    elif kind == "torn":
        path.write_bytes(b"PK\x03\x04 nothing")
    elif kind == "other":
        torch.save([1, 2], path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", r"lacks body\.1\.weight of Model; give the weights"),
        ("left", r"holds tail\.weight, which Model does not have"),
        ("shape", r"body\.1\.weight has shape \(3, 3\), the model needs \(12, "),
        ("code", r"cannot be read as weights .* tensors only"),
        ("torn", r"cannot be read as weights"),
        ("other", r"holds a list, not a mapping"),
    ],
)
def test_bad_files_name_themselves_and_the_tensor(run, stored: Path, tmp_path: Path, kind: str, says: str) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    path = bad_file(kind, tensors, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=says) as caught:
        from_file(run, "finetune", path)
    assert str(path) in str(caught.value)


def test_absent_files_are_named(run, tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    for ask in (weights_sha256, weights_label):
        with pytest.raises(CheckpointError, match="give --weights an existing file") as caught:
            ask(path)
        assert str(path) in str(caught.value)
    with pytest.raises(CheckpointError, match="no weights at"):
        run("finetune", "none~000000", file=path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"looked for model\.safetensors"):
        from_file(run, "finetune", tmp_path / "empty")


def test_a_file_that_changed_since_the_plan_is_refused(run, stored: Path) -> None:
    with pytest.raises(CheckpointError, match="has changed since the cells were planned"):
        run("finetune", "trained~000000", file=stored)


def test_labels_follow_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "my weights-1.pt", tmp_path / "folder"
    one.write_bytes(b"a")
    two.mkdir()
    (two / "b").write_bytes(b"b")
    assert weights_label(one) == f"my_weights_1~{weights_sha256(one)[:6]}"
    first = weights_label(two)
    (two / "a").write_bytes(b"")
    assert weights_label(two) != first
