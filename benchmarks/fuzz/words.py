"""Readers of what is typed or declared: recipes, words of the command line, specs."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.__main__ import main
from bench.cell import parse_inputs
from bench.cli.options import gather
from bench.cli.run import shard_of
from bench.config.recipes import parse_lists, parse_overrides, resolve
from bench.config.selection import check_names
from bench.data.contents import file_digests
from bench.data.locate import split_options
from bench.errors import PluginError, SelectionError
from bench.plugins.checks import KINDS, shape_problem, spec_problems
from bench.plugins.references import referring
from bench.recipe import ESTIMATOR_SETTINGS
from bench.results.store import Store
from bench.running.launching import Launching
from fuzz.blocks import EscapeError, Reader
from fuzz.damage import OTHERS, damaged_toml, damaged_words
from fuzz.results import ARRAYS, BENCHMARKS, POLICY, baseline, registry, scored

_RECIPE = b"""base = "full"
epochs = 3
lr = 1e-3
betas = [0.9, 0.95]
schedule = "cosine"
trim_db = 60.0
roll = "texture"
tuned_on = [{dataset = "esc10", folds = [1, 2], date = "2026-01-01", settings = ["lr"]}]
"""


def _recipe(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.toml").write_bytes(content)
    found = resolve(str(folder / "x.toml"), {"*": {"ema": None}}, clips={"texture": True})
    return found.digest(), found.digest(ESTIMATOR_SETTINGS), found.model_dump_json()


_TYPED: Mapping[str, Sequence[str]] = {
    "seeds": ("0", "0,1,2", "0-4", "3,0-1"), "folds": ("1", "1-3"), "models": ("calm.rnn,classical", "all"),
    "dataset": ("demo", "esc10,esc50"), "timeout": ("90s", "30m", "2h", "1.5"), "mode": ("probe",),
    "precision": ("bf16",),
    "overrides": ("recipe.lr=1e-4", "recipe.epochs=3", "recipe.betas=[0.9,0.95]", "recipe.lr=1e-3,1e-4"),
    "inputs": ("audio.shuffled+image", "audio+image.missing"), "recipe": ("smoke", "full"), "protocol": ("4+1",),
    "data": ("my.csv?columns=path=file,label=kind", "/data"), "shard": ("1/16",), "frontend": ("torchaudio",),
    "weights": ("masked", "x.safetensors"), "feeding": ("precomputed",),
}  # fmt: skip


def _typed_samples() -> list[bytes]:
    return [f"{option} {text}".encode() for option, texts in _TYPED.items() for text in texts]


def _damaged_option(rng: Random, content: bytes) -> bytes:
    option, _, text = content.partition(b" ")
    return option + b" " + damaged_words(rng, text)


def _typed(content: bytes, _: Path, __: bytes) -> object:
    """The word behind one option, as ``bench run`` takes it."""
    option, _, text = content.decode(errors="surrogatepass").partition(" ")
    if option == "shard":
        return shard_of(text)
    if option == "data":
        with contextlib.suppress(ValueError):  # a zero byte in a word is none that a shell could give
            return split_options(Path(text))
    given = {"overrides": (text,), "data": Path(text)}.get(option, text)
    selection, _ = gather({option: given, "device": "cpu"})
    if option == "overrides":
        single, several = parse_lists(selection.overrides)
        resolve("quick", overrides=parse_overrides(single))
        for key, values in several.items():
            resolve("quick", overrides=parse_overrides([f"recipe.{key}={values[0]}"]))
        return single
    if option == "inputs":
        return parse_inputs(text)
    return check_names(selection, referring(registry(), selection.models, file_digests))


_LINES = """
list models --json
list datasets
report run --format md,csv --to out
report run --json
compare avmae.tiny avmae.base run
gate x.json run --policy p.toml --json v.json
gate --baseline x.json b.json --cross-hardware
baseline show x.json
baseline pin run --to y.json --partial
history show h
history add h x.json --commit abc --date 2026-01-31
merge run --to c
claim avmae.tiny>avmae.base run
reproduce fold9 run
check no.x
profile no.x --batch 1,2 --timeout 90s
run --models no.x --dataset demo --seeds 0-2 --set recipe.lr=1e-4 --out o
plan --models no.x --shards 3
run --models no.x --data my.csv?columns=path=file --dataset manifest
sweep --models no.x --set recipe.lr=1e-3,1e-4
frontends --model no.x --dataset esc10
run --models hf:x?layer=1 --plugin p.py --no-plugin calm --launcher ray:auto
"""


def _line(content: bytes, folder: Path, _: bytes) -> object:
    """A whole command line beside a run folder, a baseline and more; none names a model that there is, so none runs."""
    Store(folder / "run").write(scored(), ARRAYS)
    (folder / "h").mkdir()
    files = {"x.json": baseline().to_json(), "b.json": json.dumps(BENCHMARKS), "p.toml": POLICY.decode(), "p.py": ""}
    for name, text in files.items():
        (folder / name).write_text(text)
    words = [word for word in content.decode(errors="surrogatepass").split(" ") if "\0" not in word]
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        nothing = patch.object(Launching, "run", side_effect=SelectionError("nothing runs here"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), nothing:
            status = main(words)
    finally:
        os.chdir(before)
    if status not in range(5) or "Traceback" in err.getvalue():
        raise EscapeError(f"exit {status}: {err.getvalue().strip().splitlines()[-4:]}")
    if status:
        raise PluginError(err.getvalue() or out.getvalue() or f"exit {status}")
    return status


class _Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


_WILD: tuple[Any, ...] = (
    *OTHERS, 5, math.nan, math.inf, (), ("x",), ("x", "x"), (1, 2), {1}, b"x", object, _Rude(), len, iter(()), range(3),
    1j, {"x": 5}, {5: "x"}, {"*": 5}, {"*": {"lr": "x"}}, {"quick": {"lr": math.nan}}, {"mode": "x"}, "a:b", ":", ":x",
    "a.b:c.d", "1e9", "default", "all", "a" * 65, ("audio",), ("audio", "x"), "audio", ("4+1", "4+1"), "https://",
    "0" * 64, ".csv", np.int64(3), np.array([1, 2]), Path("x"), frozenset({"a"}), [("a", 1)], True, "kind\u202e",
    {"texture": 5}, {"roll": "texture"},
)  # fmt: skip


def _spec_samples() -> list[Any]:
    found = registry()
    return [(kind, entry.spec) for kind in KINDS for entry in list(getattr(found, kind.field).entries.values())[:6]]


def _damaged_spec(rng: Random, sample: Any) -> Any:
    kind, spec = sample
    if rng.random() < 0.02:
        return kind, rng.choice(_WILD)
    names = [field.name for field in fields(spec)]
    return kind, replace(spec, **{rng.choice(names): rng.choice(_WILD) for _ in range(rng.randint(1, 3))})


def _spec(damaged: Any, _: Path, __: Any) -> object:
    kind, spec = damaged
    shape_problem(kind, spec)
    if problems := spec_problems(kind, spec, "bench.builtin"):
        raise PluginError("; ".join(problems))
    return hash(spec), sorted([spec.name, "a"])


def readers() -> Sequence[Reader]:
    """One for each kind of text or spec."""
    return (
        Reader(name="recipes", samples=lambda: [_RECIPE], damage=damaged_toml, read=_recipe),
        Reader(name="words behind options", samples=_typed_samples, damage=_damaged_option, read=_typed, share=2.0),
        Reader(
            name="whole command lines", samples=lambda: _LINES.encode().splitlines()[1:], damage=damaged_words,
            read=_line, share=0.2, sound=False,
        ),
        Reader(name="fields of specs", samples=_spec_samples, damage=_damaged_spec, read=_spec, share=1.5),
    )  # fmt: skip
