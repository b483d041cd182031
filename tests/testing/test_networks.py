"""The conformance checks of networks and estimators: each finds the fault it is for, and none in a sound model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bench.builtin
from bench import ModelSpec
from bench.errors import UnknownNameError
from bench.plugins.discovery import load_modules
from bench.plugins.registry import Registry
from bench.testing import check_model
from bench.testing.fakes import fake_plugin
from bench.testing.results import Effort

COUNT = 40 * 24 + 24 + 24 * 50 + 50
QUICK = {"parameters", "logits", "finite", "gradient", "deterministic", "seeded", "seeds", "batch_mates",
         "permutation", "state_dict", "bf16"}  # fmt: skip


class Net(nn.Module):
    """Loudness and first sample of forty stretches, two layers; ``fault`` breaks exactly one promise."""

    def __init__(self, classes: int, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.hidden = nn.Linear(40, 24)
        self.head = nn.Linear(24, classes + (fault == "logits"))
        if fault == "gradient":
            self.unused = nn.Linear(3, 3)
        if fault == "seeded":
            self.head.weight.data += torch.from_numpy(np.random.default_rng().normal(size=(classes, 24))).float()
        if fault == "state_dict":
            self.offset = torch.randn(24)

    def forward(self, audio, image=None):
        stretches = audio.unflatten(1, (40, -1))
        std = stretches.std(-1)
        x = std.log() if self.fault == "finite" else (std + 1e-3).log()
        x = x + 10 * stretches[..., 0]
        if self.fault == "batch_mates":
            x = x - 0.1 * x.mean(0)
        if self.fault == "floor":
            x = x.maximum(x.amax() - 8)
        if self.fault == "permutation":
            x = x + torch.arange(len(x))[:, None]
        x = self.hidden(x)
        if self.fault == "deterministic":
            x = F.dropout(x, 0.5, training=True)
        if self.fault == "state_dict":
            x = x + self.offset
        if self.fault == "overfit":
            x = x * 0 + self.hidden.bias
        logits = self.head(x.relu())
        if self.fault == "optional" and image is not None:
            logits = logits + image.mean()
        if self.fault == "bf16" and torch.is_autocast_enabled("cpu"):
            logits = logits * float("inf")
        return logits.half() if self.fault == "half" else logits


class Nearest:
    """One neighbour on the loudness of a clip."""

    def __init__(self, classes: int, fault: str) -> None:
        self.fault, self.num_classes = fault, classes

    def fit(self, x, y):
        self.x, self.y = x.std(1), y
        self.classes_ = np.arange(self.num_classes) if self.fault == "missing_class" else np.unique(y)
        return self

    def decision_function(self, x):
        level = x.std(1)
        if self.fault == "batch_mates":
            level = level / level.mean()
        if self.fault == "floor":
            level = np.maximum(level, 0.01 * level.max())
        if self.fault == "permutation":
            level = level + np.arange(len(x)) * (len(x) > 1)
        scores = np.stack(
            [-np.abs(level[:, None] - self.x[self.y == c]).min(1, initial=9.0) for c in self.classes_], axis=1
        )
        if self.fault == "deterministic":
            scores = scores + np.random.default_rng().normal(size=())
        if self.fault == "missing_class":
            scores[:, 1] = 99.0
        return scores[:, :-1] if self.fault == "logits" else scores


class Contrary(Nearest):
    """Answers with another class than its scores favour."""

    def predict(self, x):
        return (self.decision_function(x).argmax(1) + 1) % len(self.classes_)


def build(task, fault="", kind=Net):
    if fault == "build":
        raise RuntimeError("no weights today")
    return kind(task.num_classes, fault)


SEEN: list[torch.Tensor] = []
KEPT = [Net(7, ""), Nearest(7, "")]


class Noted(Net):
    """Each training pass leaves a trace at module level, which the next network starts from."""

    def __init__(self, classes: int, fault: str) -> None:
        super().__init__(classes, fault)
        self.hidden.bias.data += len(SEEN)

    def forward(self, audio, image=None):
        if self.training:
            SEEN.append(audio.mean())
        return super().forward(audio, image)


def build_kept(task, number):
    return KEPT[number]


def build_backbone(task):
    net = Net(task.num_classes, "")
    net.hidden = KEPT[0].hidden
    return net


def build_seeding(task, own):
    {"torch": torch.manual_seed, "numpy": np.random.seed, "python": random.seed}.get(own, int)(42)
    with torch.random.fork_rng(enabled=own == "fork"):
        if own == "fork":
            torch.manual_seed(42)
        return Net(task.num_classes, "")


def registry_of(**fields: object) -> Registry:
    spec = ModelSpec(**{"name": "fake.net", "factory": f"{__name__}:build", **fields})
    return load_modules(fake_plugin("fakes", [spec]), bench.builtin).registry


def failures(registry: Registry, **effort: object) -> dict[str, str]:
    results = check_model("fake.net", registry, effort=Effort(**effort))
    return {result.name: result.message for result in results if result.status == "failed"}


def test_a_sound_network_passes_everything():
    results = check_model("fake.net", registry_of(parameters=COUNT, recipes={"full": {"lr": 0.01}}))
    status = {result.name: result.status for result in results}
    assert status.pop("cuda") == ("passed" if torch.cuda.is_available() else "skipped")
    assert status.pop("front_ends") == "skipped"
    assert set(status.values()) == {"passed"}
    assert {*QUICK, "build", "overfit"} == set(status)
    measured = {result.name: result.measured for result in results}
    assert measured["parameters"] == COUNT
    assert measured["overfit"] == 1.0
    assert measured["batch_mates"] < 1e-5


@pytest.mark.parametrize(
    "fault",
    ["logits", "finite", "gradient", "deterministic", "seeded", "batch_mates", "permutation", "state_dict", "bf16"],
)
def test_each_fault_is_found_by_its_check(fault):
    found = failures(registry_of(options={"fault": fault}), only=QUICK - {"parameters"})
    assert fault in found or (fault == "logits" and "build" in found)
    assert set(found) <= {fault, "build", *({"state_dict"} if fault == "deterministic" else ()),
                          *({"batch_mates", "permutation"} if fault == "deterministic" else ()),
                          *({"seeded"} if fault == "state_dict" else ())}  # fmt: skip


@pytest.mark.parametrize(
    ("factory", "options", "shared"),
    [
        ("build_kept", {"number": 0}, "the model itself"), ("build_kept", {"number": 1}, "the model itself"),
        ("build_backbone", {}, "hidden.weight"),
    ],
)  # fmt: skip
def test_a_factory_that_hands_out_anything_twice_is_refused(factory, options, shared):
    found = failures(registry_of(factory=f"{__name__}:{factory}", options=options), only=QUICK - {"parameters"})
    assert set(found) == {"build"}
    assert "handed out for a second time" in found["build"]
    assert shared in found["build"]


def test_a_start_that_moves_with_training_is_found():
    assert "hidden.bias differ" in failures(registry_of(options={"kind": Noted}), only={"seeded"})["seeded"]


@pytest.mark.parametrize(
    ("own", "said"), [("torch", "torch"), ("numpy", "numpy"), ("python", "python"), ("fork", "every")]
)
def test_a_factory_that_seeds_by_itself_is_found(own, said):
    found = failures(registry_of(factory=f"{__name__}:build_seeding", options={"own": own}), only={"seeds", "seeded"})
    assert set(found) == {"seeds"}
    assert found["seeds"].startswith("seeds give the same start: ")
    assert said in found["seeds"]


@pytest.mark.parametrize("kind", [Net, Nearest])
def test_a_floor_below_the_loudest_batch_mate_is_found(kind):
    found = failures(registry_of(options={"fault": "floor", "kind": kind}), only={"batch_mates", "permutation"})
    assert set(found) == {"batch_mates"}


def test_half_precision_logits_are_refused():
    assert "float16" in failures(registry_of(options={"fault": "half"}), only={"logits"})["logits"]


def test_a_network_that_ignores_its_input_cannot_overfit():
    found = failures(registry_of(options={"fault": "overfit"}), only={"overfit"})
    assert "at most" in found["overfit"]


def test_dependence_on_batch_mates_must_be_there_where_declared():
    assert not failures(registry_of(options={"fault": "batch_mates"}, inductive=False), only={"batch_mates"})
    found = failures(registry_of(inductive=False), only={"batch_mates"})
    assert "no dependence was found" in found["batch_mates"]


def test_models_that_depend_on_batch_mates_are_not_overfitted():
    results = check_model("fake.net", registry_of(inductive=False), effort=Effort(only={"overfit"}))
    (found,) = [result for result in results if result.name == "overfit"]
    assert found.status == "skipped"
    assert "inductive=False" in found.message


@pytest.mark.parametrize(("declared", "good"), [(COUNT, True), (round(COUNT * 1.004), True), (COUNT + 20, False)])
def test_declared_parameters_may_be_half_a_percent_off(declared, good):
    assert ("parameters" not in failures(registry_of(parameters=declared), only={"parameters"})) == good


def test_undeclared_parameters_are_counted():
    (result,) = check_model("fake.net", registry_of(), effort=Effort(only={"parameters"}))
    assert (result.status, result.measured) == ("skipped", COUNT)
    assert f"parameters={COUNT:_}" in result.message


def test_a_factory_that_raises_fails_with_file_and_line():
    found = failures(registry_of(options={"fault": "build"}))
    assert set(found) == {"parameters", "build"}
    assert "no weights today" in found["build"]
    assert "test_networks.py, line" in found["build"]


def test_optional_inputs_are_checked_too():
    registry = registry_of(options={"fault": "optional"}, optional_modalities=("image",))
    assert set(failures(registry, only={"batch_mates[audio+image]", "batch_mates"})) == {"batch_mates[audio+image]"}


def test_a_front_end_that_a_model_says_it_takes_is_tried():
    found = failures(registry_of(frontends=("torchaudio",)), only={"front_ends"})
    assert "front_ends" in found  # this network reads waveforms, not features


def test_large_networks_are_not_trained_unless_asked():
    registry = registry_of(parameters=30_000_000)
    results = {r.name: r for r in check_model("fake.net", registry, effort=Effort(only={"front_ends"}))}
    assert "--slow" in results["front_ends"].message
    slow = {r.name: r for r in check_model("fake.net", registry, effort=Effort(only={"front_ends"}, slow=True))}
    assert "--slow" not in slow["front_ends"].message


def test_a_sound_estimator_passes_everything():
    results = check_model("fake.net", registry_of(options={"kind": Nearest}))
    names = ("build", "logits", "batch_mates", "permutation", "deterministic", "seeds", "missing_class")
    found = {r.name: r.status for r in results if r.name != "parameters"}
    assert found == {**dict.fromkeys(names, "passed"), "answers": "skipped"}  # it has no predict


def test_answers_that_contradict_the_scores_are_counted():
    results = {r.name: r for r in check_model("fake.net", registry_of(options={"kind": Contrary}))}
    assert results["answers"].status == "passed"
    assert "differs from the largest score for 8 of 8 clips" in results["answers"].message


@pytest.mark.parametrize("fault", ["logits", "batch_mates", "permutation", "deterministic", "missing_class"])
def test_each_fault_of_an_estimator_is_found_by_its_check(fault):
    assert fault in failures(registry_of(options={"kind": Nearest, "fault": fault}))


def test_results_come_as_they_are_made_and_are_frozen():
    seen = []
    results = check_model("fake.net", registry_of(), effort=Effort(only={"logits"}), on_result=seen.append)
    assert tuple(seen) == results
    assert str(results[-1]).startswith("passed: model fake.net: logits: (batch, 7)")
    with pytest.raises(AttributeError):
        results[0].status = "failed"


def test_the_state_of_the_generators_is_left_alone():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    check_model("fake.net", registry_of(), effort=Effort(only={"deterministic", "seeded"}))
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_spec_can_be_checked_before_it_is_registered():
    spec = ModelSpec(name="not.registered", factory=f"{__name__}:build", parameters=COUNT)
    (result,) = check_model(spec, registry_of(), effort=Effort(only={"parameters"}))
    assert (result.subject, result.status) == ("not.registered", "passed")


def test_an_unknown_model_is_named():
    with pytest.raises(UnknownNameError, match=r"fake\.net"):
        check_model("fake.nett", registry_of())
