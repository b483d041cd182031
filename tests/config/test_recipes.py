"""Recipes as values: layers of settings, bounds, and what is said about mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.cell import FROZEN
from bench.config.recipes import BUILTIN, parse_overrides, resolve
from bench.errors import RecipeError, UnknownNameError
from bench.recipe import ESTIMATOR_SETTINGS, FROZEN_SETTINGS, HEAD_SETTINGS, Recipe, TunedOn


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_builtin_recipes_resolve(name: str) -> None:
    assert resolve(name).name == name


def test_layers_win_in_order() -> None:
    declared = {"*": {"lr": 0.5, "epochs": 7}, "quick": {"epochs": 9}}
    recipe = resolve("quick", declared, {"lr": 0.25})
    assert (recipe.lr, recipe.epochs) == (0.25, 9)
    assert resolve("full", declared).epochs == 7


def test_a_mode_may_have_settings_of_its_own() -> None:
    declared = {"*": {"lr": 0.5}, "*@finetune": {"lr": 0.25, "epochs": 7}, "quick@finetune": {"epochs": 9}}
    tuned = resolve("quick", declared, mode="finetune")
    assert (tuned.lr, tuned.epochs) == (0.25, 9)
    assert resolve("full", declared, mode="finetune").epochs == 7
    assert resolve("quick", declared, {"epochs": 3}, mode="finetune").epochs == 3
    for mode in ("scratch", "probe"):
        assert resolve("quick", declared, mode=mode) == resolve("quick", {"*": {"lr": 0.5}})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("head_lr_scale", 0), ("pretrain_steps", 0), ("pretrain_batch", 0), ("pretrain_lr", 0), ("pretrain_lr", 11)],
)
def test_bounds_of_pretraining(setting: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"recipe.{setting} = {value}"):
        resolve("quick", None, {setting: value})


def test_digest_names_what_differs_only() -> None:
    assert Recipe().digest() == Recipe(pretrain_steps=2000).digest()
    assert Recipe().digest() != Recipe(pretrain_steps=2001).digest()


def test_overrides_show_in_the_name_and_digest() -> None:
    plain, changed = resolve("quick"), resolve("quick", None, {"lr": 0.01})
    assert plain.name == "quick"
    assert changed.name.startswith("quick~")
    assert plain.digest() != changed.digest()
    assert resolve("quick", None, {"lr": 0.01}) == changed


def test_file_with_a_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[recipe]\nbase = "full"\nepochs = 3\n')
    recipe = resolve(str(path))
    assert recipe.name.startswith("mine~")
    assert (recipe.epochs, recipe.spec_masks) == (3, 2)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"epoch": 3}, "recipe.epoch is no setting; did you mean 'epochs'"),
        ({"lr": -1}, "recipe.lr = -1"),
        ({"schedule": "linear"}, "recipe.schedule = 'linear'"),
    ],
)
def test_mistakes_are_explained(overrides: dict, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        resolve("quick", None, overrides)


def test_unknown_recipe_and_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="quick"):
        resolve("quik")
    with pytest.raises(RecipeError, match=r"cannot read .*no such file"):
        resolve(str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = = 3")
    with pytest.raises(RecipeError, match="not TOML"):
        resolve(str(broken))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'base = "mine.toml"', "mine.toml' starts from itself by `base`; name smoke, quick, full"),
        (b'base = "other.toml"', "starts from itself by `base`"),
        (b"base = 5", "base = 5; it must be smoke, quick, full or a file"),
        (b"recipe = 5", "recipe = 5; write [recipe] and its keys below"),
        ("# für alle".encode("latin-1"), "byte 0xfc on line 1 is not UTF-8; if it was saved as Latin-1: iconv"),
        (b"epochs = true", "recipe.epochs = True: Input should be a valid integer"),
        (b'lr = "1e-3"', "recipe.lr = '1e-3': Input should be a valid number"),
        (b"weight_decay = inf", "recipe.weight_decay = inf: "),
        (b"batch = " + b"9" * 30, "recipe.batch = 999999999999999999999999999999: "),
        (b"batch = " + b"9" * 5000, "is not TOML"),
        (b"tuned_on = 5", "recipe.tuned_on = 5: "),
        (b"tuned_on = [[1]]", "recipe.tuned_on.0 = (1,): "),
        (b"lr = " + b"[" * 5000, "nested too deeply"),
        (b"x" * (1 << 20) + b"x", "holds 1048577 bytes; allowed are 1048576"),
        (b"lr = 1979-05-27", "recipe.lr = datetime.date(1979, 5, 27): "),
    ],
)
def test_a_file_that_is_no_recipe_says_why(tmp_path, monkeypatch, content: bytes, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_bytes(content)
    Path("other.toml").write_text('base = "mine.toml"')
    with pytest.raises(RecipeError) as caught:
        resolve("mine.toml")
    assert says in str(caught.value)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for name, says in {"pipe.toml": "no plain file", "a\0b.toml": "null", "n" * 300 + ".toml": "too long"}.items():
        with pytest.raises(RecipeError, match=says):
            resolve(str(tmp_path / name))


def test_lists_of_a_file_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "my\nown recipe.toml").write_bytes(b"\xef\xbb\xbfbetas = [0.9, 0.95]")
    recipe = resolve(str(tmp_path / "my\nown recipe.toml"))
    assert recipe.betas == (0.9, 0.95)
    assert recipe.name.startswith("my_own_recipe~")


def test_overrides_are_read_as_toml() -> None:
    values = parse_overrides(["recipe.lr=1e-4", "recipe.roll=true", "recipe.trim_db=none", "recipe.fill=tile"])
    assert values == {"lr": 1e-4, "roll": True, "trim_db": None, "fill": "tile"}
    with pytest.raises(RecipeError, match=r"recipe\.KEY=VALUE"):
        parse_overrides(["lr=3"])


def test_recipes_cannot_change() -> None:
    with pytest.raises(ValidationError):
        Recipe().epochs = 3  # type: ignore[misc]


def test_trying_out_is_not_publishable() -> None:
    assert not resolve("smoke").publishable
    assert resolve("quick").publishable
    assert resolve("quick").budget_seconds == 120
    assert resolve("quick").epochs == 20
    assert resolve("full").budget_seconds is None


def test_what_the_clips_need_stands_between_the_recipe_and_the_model() -> None:
    speech = {"shift": 0.1}
    recipe = resolve("full", clips=speech)
    assert (recipe.roll, recipe.shift, recipe.name) == (False, 0.1, "full")
    assert resolve("full", {"*": {"shift": 0.2}}, clips=speech).shift == 0.2
    assert resolve("full", None, {"roll": True}, clips=speech).roll
    with pytest.raises(RecipeError, match="rol is no setting"):
        resolve("full", clips={"rol": False})


@pytest.mark.parametrize("name", ["quick", "full"])
def test_only_what_the_data_set_calls_a_texture_is_rolled(name: str) -> None:
    assert not resolve(name).roll
    assert resolve(name, clips={"texture": True}).roll
    assert not resolve("smoke", clips={"texture": True}).roll
    assert not resolve(name, {"*": {"roll": False}}, clips={"texture": True}).roll
    assert resolve(name, None, {"roll": True}, clips={"texture": False}).roll
    assert not resolve(name, None, {"roll": False}, clips={"texture": True}).roll


def test_a_file_rolls_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for said, texture, found in (("true", False, True), ("false", True, False), ('"texture"', True, True)):
        path.write_text(f'base = "quick"\nroll = {said}\n')
        assert resolve(str(path), clips={"texture": texture}).roll is found


def test_what_a_file_states_wins_over_the_clips_and_its_base_does_not(tmp_path: Path) -> None:
    path, above = tmp_path / "mine.toml", tmp_path / "above.toml"
    path.write_text('base = "quick"\ntime_mask = 20\n')
    above.write_text(f'base = "{path}"\nspec_masks = 1\n')
    clips = {"spec_masks": 0, "time_mask": 5}
    found, stated = resolve(str(path), clips=clips), resolve(str(above), clips=clips)
    assert (found.spec_masks, found.time_mask) == (0, 20)
    assert (stated.spec_masks, stated.time_mask) == (1, 20)
    assert resolve(str(path), {"*": {"spec_masks": 3}}, clips=clips).spec_masks == 3


def test_environmental_clips_keep_their_recipe() -> None:
    """The digests that the records of ESC-10 name, whose clips are of 5 s and textures."""
    clips = {"texture": True}
    assert (resolve("quick", clips=clips).digest(), resolve("full", clips=clips).digest()) == ("3f319fc7", "81ee0efb")


CHOSEN = {"dataset": "toy", "folds": [1, 2]}


def test_what_settings_were_chosen_on_travels_with_them_and_changes_no_digest() -> None:
    declared = {"*": {"lr": 0.5, "tuned_on": [{**CHOSEN, "settings": ["lr"]}]}, "full": {"tuned_on": [CHOSEN]}}
    whole, picked = TunedOn(dataset="toy", folds=(1, 2)), TunedOn(dataset="toy", folds=(1, 2), settings=("lr",))
    assert resolve("full", declared).tuned_on == (picked, whole)
    assert resolve("quick", declared).tuned_on == (picked,)
    assert resolve("quick", declared).digest() == resolve("quick", {"*": {"lr": 0.5}}).digest()
    assert resolve("quick", declared, {"epochs": 3}).tuned_on == (picked,)
    assert resolve("quick", declared, {"lr": 0.25}).tuned_on == ()
    assert resolve("full", declared, {"lr": 0.25}).tuned_on == (whole,)


def test_a_recipe_file_says_what_it_was_chosen_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('lr = 1e-4\ntuned_on = [{dataset = "toy", folds = [3], date = "2026-11-28", settings = ["lr"]}]\n')
    expected = TunedOn(dataset="toy", folds=(3,), date="2026-11-28", settings=("lr",))
    assert resolve(str(path)).tuned_on == (expected,)
    path.write_text('tuned_on = [{data = "toy"}]\n')
    with pytest.raises(RecipeError, match="dataset"):
        resolve(str(path))


def test_an_estimator_reads_little_of_a_recipe() -> None:
    assert Recipe(lr=0.1).digest(ESTIMATOR_SETTINGS) == Recipe().digest(ESTIMATOR_SETTINGS)
    assert Recipe(trim_db=30.0).digest(ESTIMATOR_SETTINGS) != Recipe().digest(ESTIMATOR_SETTINGS)


def test_what_modes_read_of_a_recipe_are_settings_of_it() -> None:
    assert {*FROZEN_SETTINGS, *ESTIMATOR_SETTINGS} <= Recipe.model_fields.keys()
    assert HEAD_SETTINGS.keys() <= set(FROZEN)
    assert {name for names in HEAD_SETTINGS.values() for name in names} <= Recipe.model_fields.keys()


def test_what_a_file_says_holds_whatever_the_model_declares(tmp_path: Path) -> None:
    """A model's "*" won over the user's own file without a word."""
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('base = "quick"\nlr = 1e-4\nroll = true\n')
    second.write_text(f'base = "{first}"\nepochs = 3\n')
    declared = {"*": {"lr": 0.5, "epochs": 9, "warmup": 0.2}}
    for path, epochs in ((first, 9), (second, 3)):
        recipe = resolve(str(path), declared, clips={"roll": False})
        assert (recipe.lr, recipe.epochs, recipe.warmup, recipe.roll) == (1e-4, epochs, 0.2, True)
