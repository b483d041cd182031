"""Checkpoints of every known format, and every way in which one can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTForAudioClassification

from bench import CheckpointError, TaskInfo
from bench_plugins.meamtm.network import build
from bench_plugins.meamtm.weights import convert, fit_positions, load_into

FRAMES = 101
TASK = TaskInfo(num_classes=7, clip_samples=16_000, feature_shape=(128, FRAMES))


def ast_config(**changes) -> ASTConfig:
    settings = {
        "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 768,
        "max_length": FRAMES, "num_mel_bins": 128, "num_labels": 7, "time_stride": 16, "frequency_stride": 16,
    }  # fmt: skip
    return ASTConfig(**{**settings, **changes})


def random_ast(config: ASTConfig) -> ASTForAudioClassification:
    """A random AST whose tokens and positions, which transformers starts at zero, are random as well."""
    torch.manual_seed(0)
    model = ASTForAudioClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1 or parameter.shape[0] == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def features(shape: tuple[int, int] = (128, FRAMES), batch: int = 2) -> torch.Tensor:
    return 0.5 * torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def ast_file(tmp_path_factory):
    """A transformers AST of size micro, as a folder in its published layout."""
    folder = tmp_path_factory.mktemp("ast")
    save_file(published(random_ast(ast_config()).state_dict()), folder / "model.safetensors")
    return folder


def published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of transformers 4, which all published files have."""
    renames = (
        (".layers.", ".encoder.layer."), (".attention.q_proj", ".attention.attention.query"),
        (".attention.k_proj", ".attention.attention.key"), (".attention.v_proj", ".attention.attention.value"),
        (".attention.o_proj", ".attention.output.dense"), (".mlp.fc1", ".intermediate.dense"),
        (".mlp.fc2", ".output.dense"),
    )  # fmt: skip
    named = {}
    for name, tensor in state.items():
        for new, old in renames:
            name = name.replace(new, old)
        named[name] = tensor.contiguous()
    return named


DEEP = {"num_hidden_layers": 12, "time_stride": 10, "frequency_stride": 10}
WIDE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_labels": 50}


@pytest.mark.parametrize(
    ("size", "stride", "changes", "names"),
    [
        ("micro", 16, {}, dict),
        ("micro", 16, {}, published),
        ("tiny", 10, DEEP, published),
        ("base", 10, {**DEEP, **WIDE}, dict),
    ],
)
def test_a_random_transformers_ast_gives_the_same_logits(size, stride, changes, names):
    theirs = random_ast(ast_config(**changes))
    checkpoint = convert(names(theirs.state_dict()))
    task = TaskInfo(num_classes=theirs.config.num_labels, feature_shape=(128, FRAMES))
    ours = build(task, size=size, stride=stride, norm_eps=checkpoint.norm_eps).eval()
    load_into(ours, checkpoint, with_head=True)
    x = features()
    with torch.no_grad():
        expected = theirs(x.transpose(1, 2)).logits
        assert expected.std() > 0.1
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def test_transformers_own_saved_folder_loads(tmp_path):
    theirs = random_ast(ast_config())
    theirs.save_pretrained(tmp_path)
    ours = build(TASK, weights=tmp_path, head="load").eval()
    assert ours.settings.norm_eps == 1e-12
    with torch.no_grad():
        torch.testing.assert_close(ours(features()), theirs(features().transpose(1, 2)).logits, atol=1e-5, rtol=1e-5)


def test_a_new_head_leaves_the_trunk_as_stored(ast_file):
    task = TaskInfo(num_classes=3, feature_shape=(128, FRAMES))
    torch.manual_seed(0)
    first = build(task, weights=ast_file).eval()
    full = build(TASK, weights=str(ast_file), head="load").eval()
    assert first(features()).shape == (2, 3)
    torch.testing.assert_close(first.embed(features()), full.embed(features()))


def test_authors_names_load(ast_file):
    """The authors' files: timm's names under ``module.v.``, classifier under ``module.mlp_head.``."""
    ours = build(TASK, weights=ast_file, head="load").eval()
    state = {}
    for name, tensor in ours.state_dict().items():
        state["module.mlp_" + name if name.startswith("head.") else "module.v." + name] = tensor
    for extra in ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias"):
        state["module.v." + extra] = torch.zeros(1)
    again = build(TASK, norm_eps=1e-12).eval()
    load_into(again, convert(state), with_head=True)
    with torch.no_grad():
        torch.testing.assert_close(again(features()), ours(features()), atol=0, rtol=0)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_state_dict_round_trip(tmp_path, suffix):
    path = tmp_path / f"own{suffix}"
    torch.manual_seed(0)
    first = build(TASK).eval()
    if suffix == ".pt":
        torch.save({"state_dict": first.state_dict()}, path)
    else:
        save_file(first.state_dict(), path)
    second = build(TASK, weights=path, head="load").eval()
    with torch.no_grad():
        torch.testing.assert_close(second(features()), first(features()), atol=0, rtol=0)


@pytest.fixture(scope="module")
def deit():
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_distilled_patch16_224").eval()


def as_published(model: torch.nn.Module, folder: Path) -> Path:
    """DeiT's authors: torch's format below ``model``."""
    torch.save({"model": model.state_dict()}, folder / "deit.pth")
    return folder / "deit.pth"


def as_timm_saves(model: torch.nn.Module, folder: Path) -> Path:
    """timm's own folder, with config.json and model.safetensors."""
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return folder


@pytest.mark.parametrize("save", [as_published, as_timm_saves])
def test_deit_loads_and_computes_what_timm_computes(deit, tmp_path, save):
    path = save(deit, tmp_path)
    task = TaskInfo(num_classes=7, feature_shape=(224, 224))  # 14 x 14 patches, as the image network
    ours = build(task, size="tiny", weights=path).eval()
    x = features((224, 224), 1)
    with torch.no_grad():
        image = x[:, None].expand(-1, 3, -1, -1)
        torch.testing.assert_close(ours.patch_embed(x), deit.patch_embed(image), atol=1e-5, rtol=1e-4)
        tokens = deit.forward_features(image)
        torch.testing.assert_close(ours.embed(x), tokens[:, :2].mean(1), atol=1e-4, rtol=1e-4)


def test_deit_positions_are_interpolated_to_the_task(deit):
    ours = build(TASK, size="tiny", stride=10)
    load_into(ours, convert(deit.state_dict()), with_head=False)
    assert ours.grid == (12, 9)
    torch.testing.assert_close(ours.pos_embed[:, :2], deit.pos_embed[:, :2])
    assert ours(features()).shape == (2, 7)


def test_a_vit_lends_its_class_token_to_both():
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224")
    ours = build(TASK, size="tiny")
    load_into(ours, convert(vit.state_dict()), with_head=False)
    torch.testing.assert_close(ours.dist_token, vit.cls_token)
    torch.testing.assert_close(ours.pos_embed[:, 1], vit.pos_embed[:, 0])


def test_positions_a_shorter_clip_takes_the_middle_columns():
    positions = torch.cat([torch.full((1, 2, 1), -1.0), torch.arange(12 * 101.0).reshape(1, -1, 1)], dim=1)
    cut = fit_positions(positions, (12, 50), "x")[0, 2:, 0].reshape(12, 50)
    torch.testing.assert_close(cut, torch.arange(12 * 101.0).reshape(12, 101)[:, 25:75])


def test_positions_interpolation_keeps_a_linear_ramp():
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(50.0), indexing="ij")
    positions = torch.cat([torch.zeros(1, 2, 1), (rows / 12).reshape(1, -1, 1)], dim=1)
    fitted = fit_positions(positions, (8, 31), "x", source=(12, 50))[0, 2:, 0].reshape(8, 31)
    expected = ((torch.arange(8) + 0.5) * 12 / 8 - 0.5) / 12
    torch.testing.assert_close(fitted, expected[:, None].expand(8, 31))
    assert columns.shape == (12, 50)


def test_positions_of_an_unclear_grid_must_be_said():
    positions = torch.zeros(1, 2 + 600, 4)
    with pytest.raises(CheckpointError, match=r"600 patches; say how they lie: weights_grid=\(8, 75\) or \(10, 60\)"):
        fit_positions(positions, (8, 31), "x")
    with pytest.raises(CheckpointError, match="600 patches, not for 12 x 51"):
        fit_positions(positions, (8, 31), "x", source=(12, 51))
    assert fit_positions(positions, (8, 31), "x", source=(12, 50)).shape == (1, 250, 4)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=rf"no weights at {tmp_path}/no\.pth"):
        build(TASK, weights=tmp_path / "no.pth")
    with pytest.raises(CheckpointError, match=r"looked for model\.safetensors and pytorch_model\.bin"):
        build(TASK, weights=tmp_path)


@pytest.mark.parametrize("name", ["junk.pt", "junk.safetensors", "empty.pt"])
def test_an_unreadable_file_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"certainly no weights")
    with pytest.raises(CheckpointError, match=f"{name} cannot be read as weights"):
        build(TASK, weights=path)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "list.pt"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="holds a list"):
        build(TASK, weights=path)
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"no known checkpoint \(it holds conv\.weight\)"):
        build(TASK, weights=path)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path):
    state = build(TASK).state_dict()
    state["blocks.1.mlp.fc1.weight"] = torch.zeros(700, 192)
    path = tmp_path / "odd.pt"
    torch.save(state, path)
    message = r"odd\.pt: blocks\.1\.mlp\.fc1\.weight has shape \(700, 192\), the network needs \(768, 192\)"
    with pytest.raises(CheckpointError, match=message):
        build(TASK, weights=path)


def test_another_width_is_refused(deit):
    with pytest.raises(CheckpointError, match=r"has shape \(192,\), the network needs \(384,\); choose the size"):
        load_into(build(TASK, size="small"), convert(deit.state_dict()), with_head=False)


def test_another_depth_is_refused(ast_file):
    with pytest.raises(CheckpointError, match=r"lacks blocks\.10\.attn.* of size 'tiny'"):
        build(TASK, size="tiny", weights=ast_file)
    deep = build(TASK, size="tiny").state_dict()
    with pytest.raises(CheckpointError, match="which size 'micro' does not have"):
        load_into(build(TASK), convert(deep), with_head=True)


def test_another_number_of_classes_is_refused(ast_file):
    task = TaskInfo(num_classes=3, feature_shape=(128, FRAMES))
    with pytest.raises(CheckpointError, match=r"head\.1\.bias has shape \(7,\), the network needs \(3,\).*head='new'"):
        build(task, weights=ast_file, head="load")


def test_an_image_classifier_is_no_head(deit):
    with pytest.raises(CheckpointError, match=r"lacks head.*head='new'"):
        load_into(build(TASK, size="tiny"), convert(deit.state_dict()), with_head=True)


@pytest.mark.parametrize(
    "lost", ["distillation_token", "layer.2.attention.attention.key.bias", "layernorm_before.bias", "dense.bias"]
)
def test_a_lost_tensor_is_never_replaced_by_chance(ast_file, lost):
    state = {name: t for name, t in load_file(ast_file / "model.safetensors").items() if not name.endswith(lost)}
    with pytest.raises(CheckpointError, match=r"lacks|is not"):
        load_into(build(TASK), convert(state), with_head=True)


def test_a_checkpoint_that_bench_kept_of_a_cell_loads(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = build(TASK, size="micro").eval()
    around = {"frontend.window": torch.ones(4), "normaliser.mean": torch.zeros(1, 1)}
    save_file(
        {**{f"model.{name}": x.clone() for name, x in source.state_dict().items()}, **around},
        tmp_path / "a.safetensors",
    )
    model = build(TASK, size="micro", weights=tmp_path / "a.safetensors", head="load").eval()
    assert torch.equal(model(features()), source(features()))
