"""The network: published sizes, clip independence, graph and attention against references, short clips, learning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from bench import BenchError, TaskInfo
from bench_plugins import convnext_attention
from bench_plugins.convnext_attention import network
from bench_plugins.convnext_attention.graph import GraphNetwork, knn_adjacency
from bench_plugins.convnext_attention.network import build

TASK = TaskInfo(num_classes=50, feature_shape=(64, 251))
SPECS = {spec.name.partition(".")[2]: spec for spec in convnext_attention.bench_add_models()}
SMALL = {"depths": (1, 1), "widths": (8, 16), "attention_dim": 16, "heads": 4, "graph_widths": (12, 12),
         "head_widths": (16,), "layer_scale": 0.5, "kernel": 3, "squeeze": 2}  # fmt: skip
SMALL_TASK = TaskInfo(num_classes=5, feature_shape=(16, 40))


def small(**options) -> network.ConvNeXtAttention:
    torch.manual_seed(0)
    return build(SMALL_TASK, **{**SMALL, **options})


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def on_meta(**options) -> int:
    with torch.device("meta"):
        return count(build(TASK, **options))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_declared_parameters_are_counted(name) -> None:
    assert on_meta(**SPECS[name].options) == SPECS[name].parameters


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"dims": 1}, 29.54), ({"dims": 2}, 30.78),
        ({"dims": 1, "graph": "none"}, 29.47), ({"dims": 2, "graph": "none"}, 30.71),
        ({"dims": 1, "attention_dim": 0}, 27.76), ({"dims": 2, "attention_dim": 0}, 29.00),
        ({"dims": 2, "graph": "batch"}, 30.78),
    ],
)  # fmt: skip
def test_sizes_of_the_specification(options, millions) -> None:
    assert on_meta(**options) / 1e6 == pytest.approx(millions, abs=0.005)


def test_specs() -> None:
    assert set(SPECS) == {"tiny", "1d", "2d", "batch_graph", "no_ggcn", "no_attention", "no_se"}
    assert [name for name, spec in SPECS.items() if "default" in spec.sets] == ["tiny"]
    assert [name for name, spec in SPECS.items() if "documented" in spec.sets] == ["1d"]
    assert [name for name, spec in SPECS.items() if not spec.inductive] == ["batch_graph"]
    for spec in SPECS.values():
        assert (spec.frontend, spec.frontends) == ("torchaudio", ("torchaudio", "nnaudio"))


def test_declaring_imports_nothing_heavy() -> None:
    path = [str(Path(convnext_attention.__file__).parents[2]), str(Path(__file__).parents[3])]
    code = (
        f"import sys; sys.path[:0] = {path!r}; import bench_plugins.convnext_attention as c; "
        "assert len(c.bench_add_models()) == 7; assert not {'torch', 'numpy', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=300)


@pytest.mark.parametrize(("dims", "tokens"), [(1, 15), (2, 60)])
def test_described_token_counts(dims, tokens) -> None:
    options = {"dims": dims, "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "kernel": 3}
    model = build(TaskInfo(num_classes=3, feature_shape=(64, 250)), **options)
    assert network.to_tokens(model.backbone(torch.zeros(1, 64, 250))).shape == (1, tokens, 8)


@pytest.mark.parametrize("dims", [1, 2])
def test_the_input_of_the_source_with_its_axis_of_one_channel_is_taken(dims) -> None:
    options = {"dims": dims, "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "kernel": 3}
    model = build(TaskInfo(num_classes=50, feature_shape=(64, 250)), **options).eval()
    clips = torch.randn(2, 1, 64, 250)
    logits = model(clips)
    assert logits.shape == (2, 50)
    assert torch.equal(logits, model(clips[:, 0]))
    with pytest.raises(ValueError, match=r"built for \(batch, 64, time\), got \(2, 3, 64, 250\)"):
        model(clips.expand(-1, 3, -1, -1))


VARIANTS = [
    {}, {"dims": 2}, {"norm": "batch"}, {"graph": "none"}, {"attention_dim": 0}, {"squeeze": 0},
    {"dims": 2, "graph": "batch"},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_gradients_reach_every_parameter(options) -> None:
    model = small(**options).train()
    model(torch.randn(6, 16, 40)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_permuting_the_batch_permutes_the_logits(options) -> None:
    model = small(**options).eval()
    clips, order = torch.randn(6, 16, 40), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        torch.testing.assert_close(model(clips)[order], model(clips[order]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", VARIANTS[:-1], ids=str)
def test_batch_mates_change_nothing(options) -> None:
    model = small(**options).eval()
    clips = torch.randn(6, 16, 40)
    with torch.no_grad():
        torch.testing.assert_close(model(clips)[:1], model(clips[:1]), atol=1e-5, rtol=1e-5)


def test_batch_graph_depends_on_batch_mates() -> None:
    model = small(dims=2, graph="batch").eval()
    clips = torch.randn(8, 16, 40)
    with torch.no_grad():
        together, alone = model(clips), model(clips[:1])
    change = (together[:1] - alone).abs().max() / together.std()
    assert change > 0.05
    assert not SPECS["batch_graph"].inductive


@settings(max_examples=30, deadline=None)
@given(nodes=st.integers(1, 20), k=st.integers(1, 8), seed=st.integers(0, 1000))
def test_graph_equals_sklearn(nodes, k, seed) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, nodes, 4)).astype(np.float32))
    adjacency = knn_adjacency(points, k)
    used = min(k, nodes - 1)
    for graph, rows in zip(points.numpy(), adjacency.numpy(), strict=True):
        expected = np.eye(nodes)
        if used:
            expected += NearestNeighbors(n_neighbors=used).fit(graph).kneighbors_graph().toarray()
        np.testing.assert_allclose(rows, expected / (used + 1), atol=1e-7)


def test_graph_of_equal_nodes_links_k_others() -> None:
    adjacency = knn_adjacency(torch.zeros(1, 6, 3), 2)[0]
    assert (adjacency.diagonal() > 0).all()
    assert ((adjacency > 0).sum(dim=1) == 3).all()


def test_graph_network_equals_a_loop() -> None:
    torch.manual_seed(1)
    net = GraphNetwork(6, (4, 4), neighbours=3).eval()
    nodes = torch.randn(9, 6)
    near = [sorted(range(9), key=lambda j, i=i: float((nodes[i] - nodes[j]).norm()))[:4] for i in range(9)]
    values = nodes
    for step, layer in enumerate(net.layers):
        rows = [layer.linear(torch.stack([values[j] for j in group]).mean(0)) for group in near]
        updated = torch.stack([F.gelu(F.layer_norm(row, (4,), layer.norm.weight, layer.norm.bias)) for row in rows])
        values = updated if step == 0 else values + updated
    torch.testing.assert_close(net(nodes[None])[0], values, atol=1e-5, rtol=1e-5)


def test_attention_equals_torch_multihead() -> None:
    torch.manual_seed(2)
    ours = network.SelfAttentivePooling(8, 8, 2).eval()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight.data, "in_proj_bias": ours.qkv.bias.data,
            "out_proj.weight": ours.out.weight.data, "out_proj.bias": ours.out.bias.data,
        }
    )  # fmt: skip
    tokens = torch.randn(3, 5, 8)
    expected = ours.norm(ours.residual(tokens) + theirs(tokens, tokens, tokens)[0])
    torch.testing.assert_close(ours(tokens), expected, atol=1e-5, rtol=1e-5)


def test_block_without_its_extras_equals_timm() -> None:
    from timm.models.convnext import ConvNeXtBlock

    design = network.Design(dims=2, kernel=7, squeeze=0, layer_scale=0.3)
    ours, theirs = network.Block(design, 8, 0.0).eval(), ConvNeXtBlock(8, ls_init_value=0.3).eval()
    names = {"depthwise": "conv_dw", "norm": "norm", "widen": "mlp.fc1", "narrow": "mlp.fc2"}
    state = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in ours.state_dict().items() if "." in k}
    theirs.load_state_dict({**state, "gamma": ours.scale.data})
    grid = torch.randn(2, 8, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(ours(grid), theirs(grid), atol=1e-5, rtol=1e-5)


def test_squeeze_excitation_equals_a_loop() -> None:
    module = network.SqueezeExcitation(4, 2)
    tokens = torch.randn(3, 5, 4)
    down, _, up, _ = module.gate
    for clip, out in zip(tokens, module(tokens), strict=True):
        gate = torch.sigmoid(up.weight @ torch.relu(down.weight @ clip.mean(0) + down.bias) + up.bias)
        torch.testing.assert_close(out, clip * gate)


def test_state_dict_round_trip() -> None:
    source, target = small(norm="batch").train(), small(norm="batch")
    source(torch.randn(4, 16, 40))  # moves the running statistics
    target.load_state_dict(source.state_dict())
    clips = torch.randn(2, 16, 40)
    with torch.no_grad():
        torch.testing.assert_close(source.eval()(clips), target.eval()(clips), rtol=0, atol=0)


@pytest.mark.parametrize(("frames", "stride"), [(8, 1), (26, 1), (51, 1), (64, 2), (251, 4), (501, 4)])
def test_tiny_takes_short_clips(frames, stride) -> None:
    task = TaskInfo(num_classes=10, feature_shape=(64, frames), sample_rate=8_000, clip_samples=8_000)
    model = build(task, **SPECS["tiny"].options)
    assert model.backbone[0].stride == (stride,)
    assert model.train()(torch.randn(3, 64, frames)).shape == (3, 10)
    assert model.embed(torch.randn(2, 64, frames)).shape == (2, 128)


def test_refusals() -> None:
    short = TaskInfo(num_classes=3, feature_shape=(64, 7))
    with pytest.raises(BenchError, match="7 frames are too short for this design, which needs 8"):
        build(short, **SPECS["tiny"].options)
    with pytest.raises(BenchError, match="has no option width; known: attention_dim"):
        build(TASK, width=3)
    with pytest.raises(BenchError, match="no feature_shape"):
        build(TaskInfo(num_classes=3))
    with pytest.raises(BenchError, match="graph='clip' is not one of 'tokens', 'batch', 'none'"):
        build(TASK, graph="clip")
    with pytest.raises(BenchError, match="must name the same stages"):
        build(TASK, depths=(1, 2))
    with pytest.raises(BenchError, match="no multiple of heads=7"):
        build(TASK, heads=7)
    with pytest.raises(BenchError, match="kernel=4 must be odd"):
        build(TASK, kernel=4)
    with pytest.raises(BenchError, match="13 mel bins are too few"):
        build(TaskInfo(num_classes=3, feature_shape=(13, 251)), dims=2)
    with pytest.raises(ValueError, match=r"built for \(batch, 16, time\), got \(2, 17, 40\)"):
        small()(torch.zeros(2, 17, 40))
    with pytest.raises(BenchError, match="3 frames are too short"):
        small()(torch.zeros(2, 16, 3))


def test_tiny_overfits_a_few_clips() -> None:
    torch.manual_seed(0)
    clips, targets = torch.randn(16, 64, 51), torch.arange(16) % 4
    model = build(TaskInfo(num_classes=4, feature_shape=(64, 51)), **SPECS["tiny"].options).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(25):
        optimizer.zero_grad()
        F.cross_entropy(model(clips), targets).backward()
        optimizer.step()
    with torch.no_grad():
        assert (model.eval()(clips).argmax(1) == targets).all()
