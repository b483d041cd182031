"""Networks of timm take one channel, with weights adapted as timm adapts them."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench.clips import TaskInfo
from bench.errors import CheckpointError
from bench_plugins.encoders import image_networks, targets

TASK = TaskInfo(num_classes=3, feature_shape=(64, 51))


def test_resnet18_at_random_is_timms_own() -> None:
    resolved = targets.timm("resnet18")
    assert not resolved.files
    torch.manual_seed(0)
    found = image_networks.build(TASK, **resolved.fields["options"]).eval()
    torch.manual_seed(0)
    expected = timm.create_model("resnet18", in_chans=1, num_classes=3).eval()
    features = torch.randn(2, 64, 51)
    with torch.inference_mode():
        torch.testing.assert_close(found(features), expected(features[:, None]))
        assert found.embed(features).shape == (2, 512)
        torch.testing.assert_close(found.head(found.embed(features)), found(features))


def test_weights_of_three_channels_come_from_a_file_and_are_adapted_as_timm_does(tmp_path) -> None:
    rgb = timm.create_model("resnet18").eval()
    save_file(rgb.state_dict(), tmp_path / "rgb.safetensors")
    resolved = targets.timm("resnet18", weights=tmp_path / "rgb.safetensors")
    assert resolved.files == (tmp_path / "rgb.safetensors",)
    assert resolved.fields["axes"] == {"mode": "finetune"}
    found = image_networks.build(TASK, **resolved.fields["options"])
    torch.testing.assert_close(found.network.conv1.weight, rgb.conv1.weight.sum(1, keepdim=True))
    torch.testing.assert_close(found.network.layer4[0].conv1.weight, rgb.layer4[0].conv1.weight)
    assert found.head.weight.shape == (3, 512)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="cannot be loaded into 'resnet18'"):
        image_networks.build(TASK, name="resnet18", weights=str(tmp_path / "other.safetensors"))


def test_a_network_of_one_size_gets_pictures_of_that_size() -> None:
    found = image_networks.build(TASK, name="deit_tiny_patch16_224").eval()
    with torch.inference_mode():
        assert found(torch.randn(2, 64, 51)).shape == (2, 3)


def test_a_name_that_timm_lacks_is_told_before_anything_runs(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"no network 'resnet_18'; did you mean .*resnet"):
        targets.timm("resnet_18")
    with pytest.raises(CheckpointError, match="no weights at"):
        targets.timm("resnet18", weights=tmp_path / "none.pth")
