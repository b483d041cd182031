"""Pretrained text encoders: transformers' own outputs, frozen to the last bit, tuned at their own rate."""

from __future__ import annotations

import copy
import hashlib

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import AutoModel, AutoTokenizer, BertModel

from bench import CheckpointError, TaskInfo
from bench.execution.optimisation import make_optimizer
from bench.recipe import Recipe
from bench_plugins.calm import bench_add_models
from bench_plugins.calm.checkpoints import load_bert, load_tokenizer, minilm_folder
from bench_plugins.calm.encoders import Memory, PretrainedText, TextOnly, build_bert, build_minilm, build_text_only
from bench_plugins.calm.network import CalmConfig

NAMES = ("dog", "rain", "sea_waves", "crying baby")
TASK = TaskInfo(num_classes=4, feature_shape=(40, 51), label_names=NAMES)
TEXTS = ("dog barking", "rain on the roof", "a car engine", "dog barking", "sea waves", "hound")
PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of sentence-transformers/all-MiniLM-L6-v2's model.safetensors as its publishers give it."""


def words_of(folder, *, tuned=False) -> PretrainedText:
    return PretrainedText(load_bert(folder), load_tokenizer(folder), NAMES, tuned=tuned).eval()


def tokens(folder, texts=TEXTS, length=10) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = load_tokenizer(folder)(texts, length)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def small(folder, *, tuned=False):
    torch.manual_seed(0)
    return build_bert(TASK, tuned=tuned, weights=folder, dim=32, heads=4)


class Calls:
    """How often, and for how many texts, the BERT was run."""

    def __init__(self, words: PretrainedText) -> None:
        self.count = 0
        words.bert.register_forward_hook(self)

    def __call__(self, *_args: object) -> None:
        self.count += 1


@pytest.mark.parametrize("tuned", [False, True])
def test_vectors_are_transformers_own(bert, tuned):
    words = words_of(bert, tuned=tuned)
    ids, mask = tokens(bert)
    theirs = BertModel.from_pretrained(bert).eval()
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        found, seen = words(ids, mask)
    assert found.shape == (6, 10, 32)
    assert torch.equal(seen, mask)
    assert expected[mask].std() > 0.5
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-6, rtol=1e-6)


def test_a_frozen_texts_vectors_are_its_own_to_the_last_bit(bert):
    ids, mask = tokens(bert)
    whole = words_of(bert)(ids, mask)[0]
    alone, padded, dirty = words_of(bert), words_of(bert), words_of(bert)
    long, long_mask = tokens(bert, length=16)
    with torch.no_grad():
        assert all(torch.equal(alone(ids[i : i + 1], mask[i : i + 1])[0][0], whole[i]) for i in (5, 2, 0, 1))
        assert torch.equal(padded(long, long_mask)[0][:, :10], whole)
        assert torch.equal(dirty(ids.masked_fill(~mask, 9), mask)[0], whole)
        assert torch.equal(words_of(bert)(ids, None)[0], whole), "without a mask, padding is padding"


def test_a_text_is_read_once(bert):
    words = words_of(bert)
    calls = Calls(words)
    ids, mask = tokens(bert)
    first = words(ids, mask)[0]
    assert calls.count == 5, "six texts, two of them the same"
    again = words(ids.flip(0), mask.flip(0))[0].flip(0)
    assert calls.count == 5
    assert torch.equal(first, again)


def test_memory_is_bounded(bert):
    words = words_of(bert)
    words._memory = Memory(limit=5 * 32 * 4)  # one text of five tokens
    calls = Calls(words)
    ids, mask = tokens(bert)
    first = words(ids, mask)[0]
    assert len(words._memory.known) == 1
    assert words._memory.used == 5 * 32 * 4
    assert torch.equal(words(ids, mask)[0], first)
    assert calls.count == 5 + 4  # "dog barking" was kept, and is asked for twice


def test_new_weights_are_not_answered_from_memory(bert, other_bert):
    words, other = words_of(bert), words_of(other_bert)
    twin = copy.deepcopy(words)
    ids, mask = tokens(bert)
    before = words(ids, mask)[0]
    assert twin._memory is words._memory, "copies of frozen weights share what was read"
    twin.load_state_dict(other.state_dict())
    assert torch.equal(twin(ids, mask)[0], other(ids, mask)[0])
    assert torch.equal(words(ids, mask)[0], before)
    assert not torch.allclose(twin(ids, mask)[0], before, atol=1e-3)


def test_a_frozen_encoder_has_no_dropout_in_training(bert):
    ids, mask = tokens(bert)
    trained = words_of(bert).train()
    assert torch.equal(trained(ids, mask)[0], words_of(bert)(ids, mask)[0])
    assert not any(module.training for module in trained.bert.modules())
    tuned = words_of(bert, tuned=True).train()
    assert not torch.equal(tuned(ids, mask)[0], tuned(ids, mask)[0])


def test_what_is_kept_is_read_in_full_precision(bert):
    ids, mask = tokens(bert)
    words = words_of(bert)
    with torch.autocast("cpu", torch.bfloat16):
        first = words(ids, mask)[0]
    assert first.dtype == torch.float32
    assert torch.equal(words_of(bert)(ids, mask)[0], first)


def test_texts_read_in_inference_mode_can_be_trained_on(bert):
    model = small(bert)
    ids, mask = tokens(bert)
    with torch.inference_mode():
        model.eval()(torch.randn(6, 40, 51), ids, mask)
    model.train()(torch.randn(6, 40, 51), ids, mask).sum().backward()
    assert model.text.up.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("tuned", [False, True])
def test_class_names_are_means_over_their_tokens(bert, tuned):
    words = words_of(bert, tuned=tuned)
    theirs, tokenizer = BertModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    with torch.no_grad():
        found, mask = words(None, None)
        for name, vector in zip(("dog", "rain", "sea waves", "crying baby"), found[0], strict=True):
            states = theirs(**tokenizer(name, return_tensors="pt")).last_hidden_state
            torch.testing.assert_close(vector, states[0].mean(0), atol=1e-6, rtol=1e-5)
    assert mask.tolist() == [[True] * 4]


def test_the_bank_belongs_to_the_task_and_not_to_the_clip(bert):
    """Clips in another order of their labels change no input of the text stream."""
    model = small(bert).eval()
    seen = []
    model.text.words.register_forward_hook(lambda _module, inputs, output: seen.append((inputs, output[0])))
    clips = torch.randn(6, 40, 51)
    with torch.no_grad():
        for order in (torch.arange(6), torch.tensor([5, 3, 1, 0, 2, 4])):
            model(clips[order])
    assert seen[0][0] == seen[1][0] == (None, None)
    assert torch.equal(seen[0][1], seen[1][1])
    assert not [name for name, _ in model.text.words.named_buffers() if "bank" in name]


def train(model: nn.Module, folder, steps: int = 3) -> AveragedModel:
    recipe = Recipe(lr=1e-2)
    optimizer = make_optimizer(model, recipe, "cpu")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    ids, mask = tokens(folder)
    model.train()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(torch.randn(6, 40, 51), ids, mask), torch.arange(6) % 4)
        loss = loss + nn.functional.cross_entropy(model(torch.randn(6, 40, 51)), torch.arange(6) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
    return average


def test_frozen_weights_stay_and_all_others_move(bert):
    model = small(bert)
    before = copy.deepcopy(model.state_dict())
    average = train(model, bert)
    own = BertModel.from_pretrained(bert).state_dict()
    for state in (model.state_dict(), average.module.state_dict()):
        for name, tensor in state.items():
            inside = name.removeprefix("text.words.bert.")
            if inside != name:
                assert torch.equal(tensor, own[inside]), name
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert moved == [name for name, p in model.named_parameters() if p.requires_grad]


def test_tuned_weights_move_and_no_part_is_left_out(bert):
    model = small(bert, tuned=True)
    before = copy.deepcopy(model.state_dict())
    train(model, bert)
    assert [name for name, p in model.named_parameters() if torch.equal(p, before[name])] == []


def test_a_tuned_bert_has_the_described_rate(bert):
    model = small(bert, tuned=True)
    groups = make_optimizer(model, Recipe(lr=3e-4, weight_decay=0.01), "cpu").param_groups
    inside = {id(p) for p in model.text.words.bert.parameters()}
    placed = [id(p) for group in groups for p in group["params"]]
    assert sorted(placed) == sorted(id(p) for p in model.parameters())
    for group in groups:
        for p in group["params"]:
            assert group["lr"] == pytest.approx(2e-5 if id(p) in inside else 3e-4)
            assert group["weight_decay"] == (0.01 if p.ndim > 1 else 0.0)
    plain = make_optimizer(model, Recipe(lr=3e-4, decay_all=True), "cpu").param_groups
    assert {group["weight_decay"] for group in plain} == {0.05}
    assert next(spec for spec in bench_add_models() if spec.name == "calm.bert_tuned").recipes["*"]["lr"] == 3e-4


@pytest.mark.parametrize("tuned", [False, True])
def test_logits_are_a_clips_own_with_a_text(bert, tuned):
    model = small(bert, tuned=tuned).eval()
    ids, mask = tokens(bert)
    x = torch.randn(6, 40, 51)
    with torch.no_grad():
        logits = model(x, ids, mask)
        torch.testing.assert_close(model(x[2:3], ids[2:3], mask[2:3]), logits[2:3], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(model(x, ids.flip(0), mask.flip(0)), logits, atol=1e-4)


@pytest.mark.parametrize("tuned", [False, True])
def test_a_text_without_a_token_is_finite(bert, tuned):
    model = small(bert, tuned=tuned).train()
    empty = torch.zeros(2, 5, dtype=torch.int64)
    logits = model(torch.randn(2, 40, 51), empty)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_names_must_fit_the_classes(bert):
    with pytest.raises(ValueError, match="4 label names for 5 classes"):
        build_bert(TaskInfo(num_classes=5, feature_shape=(40, 51), label_names=NAMES), tuned=False, weights=bert)


@pytest.mark.parametrize("name", ["calm.minilm", "calm.bert_frozen", "calm.bert_tuned", "calm.text_only"])
def test_shapes_can_be_counted_without_any_weights(name):
    spec = next(spec for spec in bench_add_models() if spec.name == name)
    build = {"calm.minilm": build_minilm, "calm.text_only": build_text_only}.get(name, build_bert)
    ids = torch.ones(2, 8, dtype=torch.int64, device="meta")
    with torch.device("meta"):
        model = build(TASK, **spec.options).to("meta").eval()
        if name == "calm.text_only":
            assert model(ids).shape == (2, 4)
        else:
            assert model(torch.empty(2, 40, 51)).shape == (2, 4)
            assert model(torch.empty(2, 40, 51), ids, ids.bool()).shape == (2, 4)


def test_given_weights_are_read_on_the_meta_device_too(bert):
    with torch.device("meta"):
        model = build_bert(TASK, tuned=False, weights=bert)
    assert model.text.words.width == 32


def text_model(folder) -> TextOnly:
    torch.manual_seed(0)
    return TextOnly(TASK, CalmConfig(dim=32, heads=4), words_of(folder))


def test_the_text_control_sees_nothing_but_the_text(bert):
    model = text_model(bert).eval()
    ids, mask = tokens(bert)
    long, long_mask = tokens(bert, length=16)
    with torch.no_grad():
        logits = model(ids, mask)
        assert logits.shape == (6, 4)
        assert torch.equal(logits[0], logits[3]), "the same text"
        torch.testing.assert_close(model(ids), logits)
        torch.testing.assert_close(model(long, long_mask), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(ids[4:5], mask[4:5]), logits[4:5], atol=1e-5, rtol=1e-5)
        assert torch.equal(model.head(model.embed(ids, mask)), logits)
        assert not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_the_text_control_learns_and_every_parameter_with_it(bert):
    model = text_model(bert).train()
    ids, mask = tokens(bert)
    y = torch.tensor([0, 1, 2, 0, 3, 1])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    for step in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids, mask), y).backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.any() for p in model.parameters() if p.requires_grad)
        optimizer.step()
    with torch.no_grad():
        assert (model.eval()(ids, mask).argmax(1) == y).all()


def test_the_text_control_gives_an_empty_text_zeros(bert):
    model = text_model(bert).train()
    empty = torch.zeros(2, 5, dtype=torch.int64)
    assert not model.embed(empty).any()
    model(empty).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    with pytest.raises(ValueError, match="mean, max or attention"):
        TextOnly(TASK, CalmConfig(pooling="cls"), words_of(bert))


@pytest.fixture(scope="module")
def minilm():
    try:
        return minilm_folder()
    except CheckpointError as error:
        pytest.skip(str(error))


def test_minilm_is_the_published_one(minilm):
    assert hashlib.sha256((minilm / "model.safetensors").read_bytes()).hexdigest() == PUBLISHED


def test_minilm_gives_transformers_own_vectors_and_makes_sense(minilm):
    words = PretrainedText(load_bert(minilm), load_tokenizer(minilm), NAMES, tuned=False).eval()
    theirs = AutoModel.from_pretrained(minilm).eval()
    ids, mask = tokens(minilm, ("dog barking", "a hound", "car engine", "rain on the roof"), 8)
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        found = words(ids, mask)[0]
    assert found.shape == (4, 8, 384)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)
    sentence = nn.functional.normalize(found.sum(1) / mask.sum(1, keepdim=True), dim=1)  # as it was trained to be used
    alike = sentence @ sentence.T
    assert alike[0, 1] > alike[0, 2] + 0.1
    assert alike[0, 1] > alike[0, 3] + 0.1


def test_minilm_stays_frozen_in_calm(minilm):
    model = build_minilm(TASK, dim=32, heads=4)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained < 1_000_000 < sum(p.numel() for p in model.text.words.parameters())
    ids, mask = tokens(minilm, TEXTS, 12)
    model.train()(torch.randn(6, 40, 51), ids, mask).sum().backward()
    assert [name for name, p in model.named_parameters() if (p.grad is not None) != p.requires_grad] == []
