"""Models by reference, given by a stranger's plugin: named by what they hold, run, reused, reproduced and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.listing import show
from bench.cli.options import REQUIRED, gather, with_run_options
from bench.config.selection import Selection, select_models, spelled
from bench.config.settings import Settings
from bench.data.contents import file_digests
from bench.errors import CheckpointError, SelectionError, UnknownNameError
from bench.job import Job
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.plugins.factories import load_factory, options_of
from bench.plugins.references import _values, portable, referring
from bench.running.preparation import load_all
from bench.running.runner import Runner
from bench.studies.reproduce.run import reproduce, selection_of

PLUGIN = Path(__file__).with_name("reference_plugin.py")


@pytest.fixture
def gain(tmp_path):
    """A file that ``gain:FILE`` refers to."""
    (tmp_path / "two.gain").write_text("2.0")
    return tmp_path / "two.gain"


def refer(*names):
    return referring(load([PLUGIN]).registry, names, file_digests)


def entry(name):
    registry = refer(name)
    return registry.models[name]


def test_a_reference_is_named_by_its_title_options_and_contents(gain, tmp_path, monkeypatch) -> None:
    found = entry(f"gain:{gain}?power=2&rate=4000")
    assert found.spec.name.startswith("gain@two+power=2+rate=4000~")
    assert (found.spec.family, found.spec.sample_rate) == ("gain", 4000)
    assert found.spec.options == {"file": str(gain), "power": 2}
    assert found.spec.axes == {"mode": "probe", "weights": f"two~{found.spec.axes['weights'][-6:]}"}
    monkeypatch.chdir(tmp_path)
    here = entry("gain:two.gain?rate=4000&power=2")
    assert (here.spec, here.contents) == (found.spec, found.contents)  # from any folder, options in any order
    assert here.reference == f"gain:{gain}?power=2&rate=4000"
    assert portable(here.reference) == "gain:two.gain?power=2&rate=4000"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "two.gain").write_text("2.0")
    assert entry("gain:elsewhere/two.gain?power=2&rate=4000").contents == found.contents  # wherever the file stands
    other = entry(f"gain:{gain}?power=1&rate=4000")
    assert other.contents != found.contents
    assert other.spec.axes["weights"] == found.spec.axes["weights"]
    gain.write_text("3.0")
    assert entry(f"gain:{gain}?power=2&rate=4000").contents != found.contents
    assert not set('/\\:?*"<>|& ') & set(found.spec.name)


def test_names_and_references_stand_side_by_side_and_families_are_no_models(gain) -> None:
    registry = refer(f"gain:{gain}", "gain.plain", "all")
    assert [one.spec.name for one in select_models([f"gain:{gain}", "gain.plain"], registry)] == [
        "gain.plain", registry.models[f"gain:{gain}"].spec.name,
    ]  # fmt: skip
    assert "gain" not in registry.models
    assert set(load([PLUGIN]).registry.references) >= {"gain"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gain", r"needs to be told which model: gain:FILE\?power=N"),
        ("gian:{}", r"'gian' is no family .* gain:FILE"),
        ("gain:", r"names nothing; write gain:FILE"),
        ("gain:{}?pover=2", r"no option 'pover'; did you mean 'power'"),
        ("gain:{}?power=3.5", r"power='3.5': Input should be"),
        ("gain:{}?rate=fast", r"rate='fast': Input should be a valid integer"),
        ("gain:{}.none", r"no file at .*none; write gain:FILE"),
    ],
)
def test_a_wrong_reference_is_one_error(name, said, gain) -> None:
    with pytest.raises((SelectionError, CheckpointError), match=said):
        refer(name.format(gain))


def runner(out, *models, **selection):
    chosen = Selection(models=models, datasets=("lengths",), profile=False, **selection)
    return Runner(chosen, Settings(out=out, plugins=(PLUGIN,), jobs=1))


def planned_by(made):
    """The only cell that a runner would run, planned without its cost."""
    registry = made.host.registry
    (planned,) = expand(made.selection, registry, load_all(made.selection, registry)).cells
    return planned


def test_a_reference_is_run_at_its_rate_with_the_lengths_of_clips_reused_and_reproduced(
    gain, tmp_path, monkeypatch
) -> None:
    name = f"gain:{gain}?rate=4000"
    first = runner(tmp_path / "run", name).run()
    (record,) = first.records
    assert record.status == "ok", record.error
    assert (record.cell.mode, record.cell.clip_samples) == ("probe", 400)
    assert record.cell.model.startswith("gain@two+rate=4000~")
    assert record.provenance["weights"]["from"] == "gain:two.gain?rate=4000"
    (row,) = first.board.sections[0].rows
    assert "--models 'gain:two.gain?rate=4000'" in row.command
    assert "--weights" not in row.command
    told = first.store.predictions(record)
    assert told is not None
    assert len(np.unique(told["logits"][:, 1])) == 12  # each test clip was heard at its own length
    monkeypatch.chdir(tmp_path)
    assert planned_by(runner(tmp_path, "gain:two.gain?rate=4000")).fingerprint == record.fingerprint
    settings = Settings(out=tmp_path / "again", plugins=(PLUGIN,), jobs=1)
    assert selection_of(record, None).models == ("gain:two.gain?rate=4000",)
    gain.write_text("3.0")
    with pytest.raises(SelectionError, match="its files or options are others"):
        reproduce(first.store, record, settings, None, None)


def test_what_a_reference_cannot_be_asked_for_is_incompatible(gain, tmp_path) -> None:
    name = f"gain:{gain}"
    for asked, said in (
        ({"mode": "scratch"}, "mode scratch starts from random weights, not from two~"),
        ({"weights": "random"}, "which it refers to, not from random; leave out --weights"),
    ):
        planned = planned_by(runner(tmp_path, name, **asked))
        assert planned.decision == "incompatible"
        assert said in planned.reason


def test_a_job_carries_the_reference_and_families_are_listed(gain, tmp_path, capsys) -> None:
    made = runner(tmp_path, f"gain:{gain}")
    job = made.preparation.job(planned_by(made), made.launching.side_by_side)
    assert Job.from_json(job.to_json()).reference == f"gain:{gain}"
    assert show("models", plugin=[PLUGIN]) == 0
    assert "gain:FILE?power=N&rate=HZ" in capsys.readouterr().out


def test_a_declared_rate_needs_no_reference(tmp_path) -> None:
    planned = planned_by(runner(tmp_path, "gain.plain"))
    assert planned.cell.clip_samples == 400


@pytest.mark.parametrize("target", ["x" * 300, "x" * 5000 + "?y=1", "~nobody-of-this-name/x", "a\0b?c"])
def test_a_target_that_no_file_can_be_is_refused(target):
    with pytest.raises((CheckpointError, SelectionError)):
        refer(f"gain:{target}")


def test_options_of_a_model_are_part_of_its_name_and_of_what_it_is_built_with() -> None:
    plain = load([PLUGIN]).registry
    names = ("calm.conv?pooling=max&heads=4", "convnext_attention?attention_dim=32", "avmae.tiny_finetune?depth=1")
    registry = referring(plain, spelled(names, plain), file_digests)
    found = registry.models[names[0]].spec
    assert found.name == "calm.conv@heads=4+pooling=max"
    assert found.options == {**plain.models["calm.conv"].spec.options, "heads": 4, "pooling": "max"}
    assert (found.family, found.sets, found.parameters) == ("calm", (), None)
    family = {spec.name for spec in plain.models.specs() if spec.family == "convnext_attention"}
    assert {entry.spec.name for entry in select_models(names[1:2], registry)} == {
        f"{name}@attention_dim=32" for name in family
    }
    assert {entry.spec.name for entry in select_models(["convnext_attention"], registry)} == family
    alias = registry.models[names[2]].spec
    assert (alias.name, alias.alias_of) == ("avmae.tiny_finetune@depth=1", "avmae.tiny@depth=1")
    assert registry.models[str(alias.alias_of)].spec.options["depth"] == 1
    assert alias.axes == plain.models["avmae.tiny_finetune"].spec.axes


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "calm.conv?haeds=4",
            r"no option 'haeds'; did you mean 'heads' or 'shared'\? \(its options: dim, heads, .*pooling",
        ),
        ("calm.conv?heads=few", "heads='few': Input should be a valid integer"),
        ("calm.conv?pooling=median", "pooling='median': Input should be 'mean'"),
        ("calm.kanv?heads=4", r"calm\.conv"),
        ("gain.plain?power=2", r"no option 'power'; known: scale \(its options: scale\)"),
    ],
)
def test_wrong_options_of_a_model_are_one_error(name, said) -> None:
    with pytest.raises((SelectionError, UnknownNameError), match=said):
        refer(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("calm.conv?heads", "'heads' has no value; behind . stand options as KEY=VALUE"),
        ("calm.conv?=4", "'' has no value"),
        ("calm.conv?heads=4&heads=8", "'heads' stands there twice"),
        ("timm:resnet18?weights", "'weights' has no value"),
        ("gain:x?power=1&power=2", "'power' stands there twice"),
        ("calm.conv?", "nothing stands behind .; write calm.conv, or"),
        ("calm.conv?&", "nothing stands behind"),
    ],
)
def test_an_option_without_a_value_or_twice_is_one_error(name: str, said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        refer(name)


def test_every_option_that_a_reference_is_written_with_is_one(tmp_path) -> None:
    registry = load([PLUGIN]).registry
    for one in registry.references.entries.values():
        known = options_of(load_factory(one.home(one.spec.reference)), handed=())
        assert {part.partition("=")[0] for part in one.spec.usage.partition("?")[2].split("&") if part} <= known.keys()
    (weights := tmp_path / "w.safetensors").write_bytes(b"w")
    found = entry(f"timm:resnet18?weights={weights}").spec
    assert (found.options["weights"], found.axes["mode"]) == (str(weights), "finetune")


def test_set_reaches_every_model_and_leaves_settings_of_training_alone() -> None:
    given = {"models": "calm.conv,hf:x?layer=2", "overrides": ["model.heads = 4", "recipe.lr=1e-3"]}
    chosen, _ = gather(given)
    assert chosen.models == ("calm.conv?heads=4", "hf:x?layer=2&heads=4")
    assert chosen.overrides == ("recipe.lr=1e-3",)
    asked = []
    own = with_run_options(without=("models",), model=("encoder", str, REQUIRED))(lambda one, _: asked.append(one) or 0)
    own(encoder="calm.conv", overrides=["model.heads=4"])
    assert asked[0].models == ("calm.conv?heads=4",)
    with pytest.raises(SelectionError, match=r"model\.KEY=VALUE; `bench list models --options`"):
        gather({"overrides": ["model.heads"]})


def test_a_pair_none_and_an_option_without_a_type_are_read_as_toml() -> None:
    def build(task, *, patch: tuple[int, int] | None = (1, 2), plain=3, name: str = "", **rest: Any): ...

    texts = {"patch": "[4, 5]", "plain": "true", "name": "7", "free": "0.5"}
    assert _values(options_of(build), texts, "m") == {"patch": (4, 5), "plain": True, "name": "7", "free": 0.5}
    assert _values(options_of(build), {"patch": "none"}, "m") == {"patch": None}


def test_a_model_with_other_options_is_run_named_reused_and_reproduced(tmp_path) -> None:
    name = "gain.plain?scale=3"
    made = runner(tmp_path / "run", name, mode="probe")
    first = made.run()
    (record,) = first.records
    assert record.status == "ok", record.error
    assert record.cell.model == "gain.plain@scale=3"
    (row,) = first.board.sections[0].rows
    assert "--models 'gain.plain?scale=3'" in row.command
    told = first.store.predictions(record)
    plain = planned_by(runner(tmp_path, "gain.plain", mode="probe"))
    assert plain.fingerprint != record.fingerprint
    assert planned_by(runner(tmp_path, name, mode="probe")).fingerprint == record.fingerprint
    again = reproduce(first.store, record, Settings(out=tmp_path / "again", plugins=(PLUGIN,), jobs=1), None, None)
    assert again.within
    assert told is not None
