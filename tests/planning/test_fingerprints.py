"""Fingerprints follow what a result depends on."""

from __future__ import annotations

from dataclasses import replace

from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, ModelSpec, ProtocolSpec
from bench.testing.fakes import fake_plugin

from .plans import loaded, one, plan_of


def test_fingerprint_follows_what_a_result_depends_on(registry) -> None:
    def mark(**selection) -> str:
        return plan_of(registry, "net.small", folds=(1,), profile=False, **selection).cells[0].fingerprint

    base = mark()
    assert mark() == base
    others = [
        mark(recipe="full"),
        mark(seeds=(1,)),
        mark(limit=3),
        mark(overrides=("recipe.lr=0.5",)),
        mark(frontend="fancy"),
    ]
    assert len({base, *others}) == 6


def test_a_weights_file_names_itself_in_cell_and_fingerprint(registry, tmp_path) -> None:
    weights = tmp_path / "ssl.safetensors"
    weights.write_bytes(b"one")
    first = one(registry, "net.small", mode="finetune", weights=str(weights))
    assert first.decision == "run"
    assert first.cell.weights.startswith("ssl~")
    assert first.cell.weights in first.cell.id
    long = tmp_path / f"{'x' * 200}.pt"
    long.write_bytes(b"one")
    assert len(one(registry, "net.small", mode="finetune", weights=long).cell.id.rpartition("/")[2]) < 200
    weights.write_bytes(b"two")
    second = one(registry, "net.small", mode="finetune", weights=weights)
    assert first.cell.weights != second.cell.weights
    probed = one(registry, "net.small", mode="probe", weights=weights)
    renamed = one(registry, "net.small", mode="probe", weights=weights, weights_prefix="net.=")
    assert renamed.cell.weights == probed.cell.weights.replace("~", "+net._~")
    marks = {p.fingerprint for p in (first, second, probed, renamed, one(registry, "net.small"))}
    assert len(marks) == 5


def test_fingerprint_follows_pretraining_and_tokenizer_sources(tmp_path, monkeypatch) -> None:
    from bench.results.provenance import source_hash

    monkeypatch.syspath_prepend(tmp_path)
    sources = {name: tmp_path / f"own_{name}.py" for name in ("masking", "words")}
    specs = [
        ModelSpec(
            name="net", factory="json:loads", modalities=("audio", "text"), pretrain="own_masking:build",
            tokenizer="own_words:build",
        ),
        DatasetSpec(name="set", load="json:loads", groups="source"),
        ProtocolSpec(name="4+1"),
    ]  # fmt: skip
    own = load_modules(fake_plugin("own", specs)).registry
    data = loaded(own, texts=("word",) * 30)

    def marks(masking: str, words: str) -> tuple[str, str]:
        sources["masking"].write_text(masking)
        sources["words"].write_text(words)
        source_hash.cache_clear()
        masked = one(own, "net", data, mode="finetune", weights="masked").fingerprint
        return masked, one(own, "net", data).fingerprint

    base = marks("a = 1", "b = 1")
    assert base == marks("a = 1", "b = 1")
    masking, words = marks("a = 2", "b = 1"), marks("a = 1", "b = 2")
    assert masking[0] != base[0]
    assert masking[1] == base[1]
    assert words[0] != base[0]
    assert words[1] != base[1]


def test_fingerprint_follows_the_code_of_data_sets_front_ends_and_their_helpers(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("data", "front", "helper", "unrelated"):
        (tmp_path / f"such_{name}.py").write_text("import such_helper" if name in ("data", "front") else "")
    specs = [
        ModelSpec(name="net", factory="json:loads", frontend="own"),
        ModelSpec(name="raw", factory="json:loads"),
        DatasetSpec(name="set", load="such_data:load", groups="source"),
        FrontendSpec(name="own", factory="such_front:build"),
        ProtocolSpec(name="4+1"),
    ]
    own = load_modules(fake_plugin("such", specs)).registry

    def marks() -> list[str]:
        return [one(own, name, loaded(own)).fingerprint for name in ("net", "raw")]

    for name, changes in (("unrelated", (False, False)), ("front", (True, False)), ("data", (True, True))):
        before = marks()
        (tmp_path / f"such_{name}.py").write_text("import such_helper  # edited")
        assert tuple(a != b for a, b in zip(before, marks(), strict=True)) == changes
    before = marks()
    (tmp_path / "such_helper.py").write_text("# edited")
    assert not set(before) & set(marks())


def test_only_data_sets_of_the_user_carry_their_contents(registry) -> None:
    (data,) = loaded(registry).values()
    clips = replace(data.clips, title="My birds, 2", contents_sha256="ab12cd" + 58 * "0")
    assert replace(data, clips=clips).label == "set@My_birds__2~ab12cd"
    cell = one(registry, "forest", {"set": replace(data, clips=clips)}).cell
    assert (cell.data_name, cell.id.partition("/")[0]) == ("set", "set@My_birds__2~ab12cd")
    for own in ({"needs_files": False}, {"manifest_sha256": "m"}, {"archive_sha256": "a"}):
        entry = replace(data.entry, spec=replace(data.entry.spec, **own))
        assert replace(data, clips=clips, entry=entry).label == "set"
