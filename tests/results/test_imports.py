"""Which files a factory's code is made of: what it imports of its own, and nothing else."""

from __future__ import annotations

import sys

import pytest

from bench.errors import PluginError
from bench.plugins.factories import FILE_PREFIX
from bench.plugins.sources import from_file
from bench.results.imports import code_files
from bench.results.provenance import source_hash

FILES = {
    "family/__init__.py": "",
    "family/nets/__init__.py": "from family import shared",
    "family/nets/build.py": """
import numpy, json
from . import blocks
from ..layers.norm import scale, missing
import importlib
def build(task):
    from own_beside import helper
    return importlib.import_module("..late", __package__), importlib.import_module("family.named")
""",
    "family/nets/blocks.py": "from .stars import *",
    "family/nets/stars/__init__.py": "__all__ = ['one']",
    "family/nets/stars/one.py": "",
    "family/layers/norm.py": "import family.layers.broken",
    "family/layers/broken.py": "def (",
    "family/shared.py": "",
    "family/late.py": "",
    "family/named.py": "import bench.api",
    "family/unrelated.py": "",
    "family/nets/unrelated.py": "",
    "own_beside/__init__.py": "",
    "own_beside/helper.py": "from . import deeper",
    "own_beside/deeper.py": "",
    "json.py": "never this one",
}
UNRELATED = {"family/unrelated.py", "family/nets/unrelated.py", "json.py"}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("family", "own_beside")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def names(module: str) -> set[str]:
    root, files = code_files(module)
    return {path.relative_to(root).as_posix() for path in files}


def test_the_code_of_a_module_is_what_it_imports_of_its_own(tree):
    assert names("family.nets.build") == set(FILES) - UNRELATED
    assert names("family.late") == {"family/__init__.py", "family/late.py"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_edited_file_changes_the_hash_of_those_that_import_it(tree, name):
    def fresh() -> str:
        source_hash.cache_clear()
        return source_hash("family.nets.build")

    before = fresh()
    (tree / name).write_text(FILES[name] + "\n#")
    assert (fresh() != before) == (name not in UNRELATED)


def test_of_an_installed_folder_only_the_same_distribution_counts(tree):
    def install(distribution: str, lines: str) -> None:
        (tree / f"{distribution}-1.dist-info").mkdir()
        (tree / f"{distribution}-1.dist-info" / "RECORD").write_text(lines)

    install("own", "family/__init__.py,,\nfamily/nets/build.py,,\n")
    install("other", "own_beside/__init__.py,,\n")
    assert not any(name.startswith("own_beside") for name in names("family.nets.build"))


def test_an_installed_distribution_may_have_several_packages(tree):
    (tree / "own-1.dist-info").mkdir()
    (tree / "own-1.dist-info" / "RECORD").write_text("family/__init__.py,,\nown_beside/__init__.py,,\n")
    assert "own_beside/deeper.py" in names("family.nets.build")


def test_a_plugin_file_brings_the_modules_of_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text("def build(task):\n    import its_helper, numpy\n")
    (tmp_path / "its_helper.py").write_text("from inner import part\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "part.py").write_text("")
    (tmp_path / "other.py").write_text("")
    candidate = from_file(tmp_path / "mine.py")
    candidate.load()
    assert candidate.provenance.module.startswith(FILE_PREFIX)
    assert names(candidate.provenance.module) == {"mine.py", "its_helper.py", "inner/part.py"}


def test_the_host_is_no_part_of_a_plugin_and_keeps_its_folders(tree):
    assert "frontends" not in str(names("family.named"))
    root, files = code_files("bench.frontends.specs")
    assert sorted(root.rglob("*.py")) == files


def test_a_library_counts_by_its_version_and_what_is_not_there_is_named():
    assert source_hash("sklearn.ensemble") == source_hash("sklearn.ensemble")
    assert source_hash("math")
    with pytest.raises(PluginError, match="'nowhere_at_all'"):
        source_hash("nowhere_at_all")
