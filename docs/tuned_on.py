"""Write into published records what records of today say besides: what recipes were chosen by, what a protocol does.

``python docs/tuned_on.py`` resolves each record's recipe today and stores its ``tuned_on`` in the record, and of its
protocol the description and whether its test parts are the authors'. None of it is part of a fingerprint. Recipe files
that do not say how they came about are left out: their boards say that it is not recorded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.config.recipes import BUILTIN, resolve
from bench.planning.plan import chosen_by
from bench.plugins.discovery import discover
from bench.plugins.registry import Registry
from bench.protocols.split import authors_parts

ROOT = Path(__file__).resolve().parent.parent
FILES = {"digits-avmae": "results/recipes/digits-avmae.toml"}
"""Recipe files of published runs that say that nothing was searched for."""


def main() -> None:
    """Add what is missing; what a record says already stays."""
    registry = discover()
    for path in sorted((ROOT / "results" / "published").glob("*/records/**/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        recipe = record.get("recipe") or {}
        base = str(recipe.get("name", "")).partition("~")[0]
        source = base if base in BUILTIN else FILES.get(base)
        if recipe and "tuned_on" not in recipe and source is not None:
            recipe["tuned_on"] = entries(record, source, registry)
        protocol = record["provenance"].get("protocol") or {}
        if protocol:
            spec = registry.protocols[protocol["name"]].spec
            record["provenance"]["protocol"] = {
                "description": spec.description, "authors_parts": authors_parts(spec), **protocol,
            }  # fmt: skip
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")


def entries(record: dict[str, Any], source: str, registry: Registry) -> list[dict[str, Any]]:
    """What the recipe of one record was chosen by, the settings left out that the run had changed."""
    cell, dataset = record["cell"], registry.datasets[record["cell"]["dataset"]].spec
    model = registry.models[cell["model"]].spec
    name = source if source in BUILTIN else str(ROOT / source)
    today = resolve(name, model.recipes, mode=cell["mode"], clips=dataset.settings).model_dump(mode="json")
    changed = {key: value for key, value in record["recipe"].items() if key in today and today[key] != value}
    changed.pop("name", None)
    made = resolve(name, model.recipes, changed if "~" in cell["recipe"] else None, mode=cell["mode"])
    return [entry.model_dump(mode="json") for entry in chosen_by(made, model, dataset, registry)]


if __name__ == "__main__":
    main()
