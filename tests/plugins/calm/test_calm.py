"""The CALM family: counts, masks, the class bank, and the faults of the published graph."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench import ModelSpec, TaskInfo
from bench.execution.optimisation import make_average
from bench.recipe import Recipe
from bench_plugins.calm import bench_add_models
from bench_plugins.calm.as_coded import ClapGraph
from bench_plugins.calm.layers import Attention, Pool, RecurrentEncoder, sinusoids
from bench_plugins.calm.network import Calm, CalmConfig, build
from bench_plugins.calm.text import HashText, class_bank, hash_word, word_ids

ROOT = Path(__file__).resolve().parents[3]
SPECS = {spec.name: spec for spec in bench_add_models()}
OWN = [name for name, spec in SPECS.items() if spec.extra is None and not spec.needs_weights]
"""Those that need no weights from elsewhere; test_encoders.py has the others."""
INDUCTIVE = [name for name in OWN if SPECS[name].inductive]
NAMES = ("dog", "rain", "sea_waves", "crying baby")


def make_task(num_classes: int = 4, time: int = 101, names: tuple[str, ...] = NAMES) -> TaskInfo:
    return TaskInfo(num_classes=num_classes, feature_shape=(40, time), label_names=names)


def make(spec: ModelSpec, task: TaskInfo) -> nn.Module:
    module, function = spec.factory.split(":")
    torch.manual_seed(0)
    return getattr(importlib.import_module(module), function)(task, **spec.options)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def conv() -> Calm:
    torch.manual_seed(0)
    return build(make_task()).eval()


@pytest.mark.parametrize("name", SPECS)
def test_declared_parameters_are_those_at_50_classes_and_five_seconds(name):
    spec = SPECS[name]
    task = TaskInfo(num_classes=50, feature_shape=(40, 251), label_names=tuple(map(str, range(50))))
    with torch.device("meta"):
        model = make(spec, task)
    assert count(model) == spec.parameters


@pytest.mark.parametrize(("name", "millions"), [("calm.conv", 3.41), ("calm.rnn", 3.31)])
def test_with_a_frozen_bert_in_place_of_the_table_the_sizes_are_the_described_ones(name, millions):
    model = make(SPECS[name], make_task())
    own = count(model.text.words) + count(model.text.up)
    assert (count(model) - own + 768 * 256 + 256) / 1e6 == pytest.approx(millions, abs=0.01)


def test_the_published_graph_has_its_published_size():
    assert count(ClapGraph(10)) == 8_926_730


@pytest.mark.parametrize("name", INDUCTIVE)
def test_logits_are_a_clips_own(name):
    model = make(SPECS[name], make_task()).eval()
    x = torch.randn(5, 40, 101)
    with torch.no_grad():
        logits = model(x)
        order = torch.tensor([3, 1, 4, 0, 2])
        torch.testing.assert_close(model(x[order]), logits[order], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(x[2:3]), logits[2:3], atol=1e-5, rtol=1e-5)
    assert logits.shape == (5, 4)
    assert logits.dtype == torch.float32
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


@pytest.mark.parametrize("name", INDUCTIVE)
def test_every_parameter_learns(name):
    model = make(SPECS[name], make_task()).train()
    nn.functional.cross_entropy(model(torch.randn(4, 40, 101)), torch.arange(4)).backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("name", OWN)
def test_state_dict_round_trip(name):
    spec = SPECS[name]
    first, second = make(spec, make_task()).eval(), make(spec, make_task()).eval()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.1)
    second.load_state_dict(first.state_dict())
    x = torch.randn(3, 40, 101)
    with torch.no_grad():
        assert torch.equal(first(x), second(x))


def test_the_conv_and_the_default_of_build_are_one(conv):
    assert SPECS["calm.conv"].options == {}
    assert conv.text is not None
    assert conv.text.encoder is conv.encoder
    assert make(SPECS["calm.separate"], make_task()).text.encoder is not conv.encoder


def test_the_bank_belongs_to_the_task_and_not_to_the_clip(conv):
    """The text stream gets no input but the bank, whatever the clips and in whatever order of their labels."""
    seen = []
    hook = conv.text.words.register_forward_hook(lambda _module, inputs, output: seen.append((inputs, output[0])))
    clips = torch.randn(6, 40, 101)
    with torch.no_grad():
        for order in (torch.arange(6), torch.tensor([5, 3, 1, 0, 2, 4])):
            conv(clips[order])
    hook.remove()
    assert seen[0][0] == seen[1][0] == (None, None)
    assert torch.equal(seen[0][1], seen[1][1])
    assert seen[0][1].shape == (1, 4, 128)
    assert list(inspect.signature(conv.forward).parameters) == ["audio", "text", "text_mask"]


def test_the_bank_reaches_the_logits():
    torch.manual_seed(0)
    first = build(make_task()).eval()
    second = build(make_task(names=("cat", "wind", "clock tick", "siren"))).eval()
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 40, 101)
    with torch.no_grad():
        assert not torch.allclose(first(x), second(x), atol=1e-4)


@pytest.mark.parametrize("encoder", ["conv", "rnn"])
@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "cls"])
def test_padding_of_a_text_changes_nothing(encoder, pooling):
    torch.manual_seed(0)
    model = build(make_task(), encoder=encoder, pooling=pooling, dim=32, heads=4).eval()
    x = torch.randn(2, 40, 101)
    text = torch.tensor([[5, 9, 77], [8, 3, 0]])
    long = torch.cat([text, torch.zeros(2, 6, dtype=torch.int64)], 1)
    other = long.masked_fill(long == 0, 123)
    with torch.no_grad():
        logits = model(x, text, text.ne(0))
        torch.testing.assert_close(model(x, long, long.ne(0)), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(x, other, long.ne(0)), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(x, long), logits, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(model(x, text.flip(0)), logits, atol=1e-4)


@pytest.mark.parametrize("encoder", ["conv", "rnn"])
def test_an_empty_text_is_finite_and_adds_nothing(encoder):
    model = build(make_task(), encoder=encoder, dim=32, heads=4).train()
    empty = torch.zeros(2, 5, dtype=torch.int64)
    logits = model(torch.randn(2, 40, 101), empty)
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    x = torch.randn(2, 40, 101)
    with torch.no_grad():
        torch.testing.assert_close(model(x, empty), model(x, empty[:, :2]), atol=1e-5, rtol=1e-5)


def test_attention_equals_torch_under_a_mask():
    torch.manual_seed(0)
    ours, theirs = Attention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    query, memory = torch.randn(3, 7, 32), torch.randn(3, 5, 32)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0]], dtype=torch.bool)
    expected = theirs(query, memory, memory, key_padding_mask=~mask)[0]
    torch.testing.assert_close(ours(query, memory, mask), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours(query, memory, torch.zeros(3, 5, dtype=torch.bool)), torch.zeros(3, 7, 32))


def test_a_recurrent_encoder_reads_a_padded_text_backwards_from_its_end():
    torch.manual_seed(0)
    encoder = RecurrentEncoder(16, 0.0)
    x = torch.randn(1, 4, 16)
    padded = torch.cat([x, torch.randn(1, 3, 16)], 1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    torch.testing.assert_close(encoder(padded, mask)[:, :4], encoder(x))


def test_pooling_values():
    x = torch.tensor([[[1.0, 4.0], [3.0, 0.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert Pool(2, "mean")(x, mask).tolist() == [[2.0, 2.0]]
    assert Pool(2, "max")(x, mask).tolist() == [[3.0, 4.0]]
    assert Pool(2, "cls")(x, mask).tolist() == [[1.0, 4.0]]
    attention = Pool(2, "attention")
    nn.init.zeros_(attention.score.weight)
    assert attention(x, mask).tolist() == [[2.0, 2.0]]


def test_positions_are_sines_and_cosines():
    table = sinusoids(50, 8)
    assert table.shape == (50, 8)
    assert table[0].tolist() == [0.0] * 4 + [1.0] * 4
    torch.testing.assert_close(table[:, 0], torch.arange(50.0).sin())
    torch.testing.assert_close(table[:, :4] ** 2 + table[:, 4:] ** 2, torch.ones(50, 4))


@given(st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_text_has_ids_in_range(text):
    ids = word_ids(text)
    assert ids
    assert all(1 <= number <= 4095 for number in ids)


def test_hashing_is_the_same_everywhere():
    assert hash_word("dog") == 3266
    assert word_ids("Crackling_fire") == word_ids("crackling FIRE")
    assert class_bank((), 3).tolist() == [word_ids(f"class {n}") for n in range(3)]
    assert class_bank(("dog", "sea waves"), 2).tolist() == [[3266, 0], word_ids("sea waves")]


def test_a_bank_token_is_the_mean_of_its_words():
    words = HashText(("sea waves", "dog"), 2)
    tokens, mask = words(None, None)
    torch.testing.assert_close(tokens[0, 0], words.table(torch.tensor(word_ids("sea waves"))).mean(0))
    torch.testing.assert_close(tokens[0, 1], words.table(torch.tensor(word_ids("dog")))[0])
    assert mask.tolist() == [[True, True]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build(TaskInfo(num_classes=3)), "feature_shape"),
        (lambda: build(make_task(), encoder="gru"), "conv or rnn"),
        (lambda: build(make_task(), text_encoder="bert"), "hash_embed or none"),
        (lambda: build(make_task(), pooling="sum"), "mean, max, attention or cls"),
        (lambda: build(make_task(), dim=30), "not a multiple"),
        (lambda: build(make_task(num_classes=5)), "4 label names for 5 classes"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="colour"):
        CalmConfig(colour="red")


@pytest.mark.parametrize("name", OWN)
def test_it_can_be_built_and_run_without_memory(name):
    """A cost estimate builds it on the meta device."""
    with torch.device("meta"):
        model = make(SPECS[name], make_task())
        assert model.to("meta")(torch.empty(2, 40, 101)).shape == (2, 4)


def test_short_and_long_clips_fit_one_model(conv):
    with torch.no_grad():
        for time in (1, 5, 51, 251):
            assert conv(torch.randn(2, 40, time)).shape == (2, 4)


@pytest.mark.parametrize("decay", [0.9, 0.97, 0.99])
def test_averaged_weights_keep_the_class_bank(decay):
    """A running mean of ids, rounded down, would turn words into their neighbours."""
    names = tuple(f"class {index} of {index * index}" for index in range(40))
    model = build(make_task(40, names=names), dim=32, heads=4)
    average = make_average(model, Recipe(ema=decay))
    for _ in range(30):
        average.update_parameters()
    assert torch.equal(average.module.text.words.bank, model.text.words.bank)


def test_embed_is_what_the_head_sees(conv):
    x = torch.randn(2, 40, 101)
    with torch.no_grad():
        assert conv.embed(x).shape == (2, 256)
        assert torch.equal(conv.head(conv.embed(x)), conv(x))


def test_as_coded_gives_one_answer_to_a_whole_batch():
    model = make(SPECS["calm.as_coded"], make_task()).eval()
    x = torch.randn(6, 40, 101) + torch.arange(6.0).view(6, 1, 1)
    with torch.no_grad():
        together = model(x)
        alone = torch.cat([model(x[i : i + 1]) for i in range(6)])
    assert torch.equal(together, together[:1].expand(6, -1))
    assert (together - alone).abs().max() > 1e-3
    assert not SPECS["calm.as_coded"].inductive


def test_as_coded_attends_from_clip_to_clip():
    torch.manual_seed(0)
    graph = ClapGraph(10).eval()
    audio, text = torch.randn(4, 1024, requires_grad=True), torch.randn(4, 1024)
    first_sentence = graph.cross(text, audio, audio)[0][0]
    first_sentence.sum().backward()
    assert (audio.grad.abs().sum(1) > 0).all(), "a sentence looks at every clip of the batch, not at its own"


def test_specs_declare_what_they_take():
    assert [name for name, spec in SPECS.items() if "default" in spec.sets] == ["calm.conv"]
    heard = [spec for spec in SPECS.values() if "audio" in spec.modalities]
    assert all(spec.frontend == "mfcc" and spec.frontend_options["n_mfcc"] == 40 for spec in heard)
    (deaf,) = set(SPECS) - {spec.name for spec in heard}
    assert (deaf, SPECS[deaf].modalities, SPECS[deaf].frontend) == ("calm.text_only", ("text",), None)
    assert SPECS["calm.audio_only"].optional_modalities == ()
    assert SPECS["calm.conv"].optional_modalities == ("text",)


def test_it_learns_a_few_clips():
    torch.manual_seed(0)
    model = build(make_task(), dim=64, heads=4).train()
    x, y = torch.randn(8, 40, 17), torch.arange(8) % 4
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(25):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        assert (model(x).argmax(1) == y).float().mean() == 1.0


def test_listing_imports_no_torch():
    code = "import sys, bench_plugins.calm as family; family.bench_add_models(); assert 'torch' not in sys.modules"
    path = os.pathsep.join(str(ROOT / part) for part in ("", "plugins"))
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
