"""Two revisions side by side: what git knows, what is installed, and each reason why not."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import SelectionError
from bench.studies.gate.revisions import RevisionError, find_revisions, prepare_trees

spec = importlib.util.spec_from_file_location("bench_test_repositories", Path(__file__).with_name("conftest.py"))
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)

BACKEND = """
import base64, hashlib, zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "gated-1.0-py3-none-any.whl"
    files = {
        "gated.py": open("gated.py").read(),
        "gated-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: gated\\nVersion: 1.0\\n",
        "gated-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(f"{path},,\\n" for path in files) + "gated-1.0.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for path, text in (*files.items(), ("gated-1.0.dist-info/RECORD", record)):
            wheel.writestr(path, text)
    return name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def project(repository):
    (repository / "pyproject.toml").write_text(PROJECT)
    (repository / "backend.py").write_text(BACKEND)
    (repository / "gated.py").write_text("VALUE = 1\n")
    made.commit(repository)
    return repository


def test_a_plain_file_is_read_in_both_revisions_and_nothing_is_installed(repository):
    before = (repository / "toy.py").read_text()
    (repository / "toy.py").write_text("changed\n")
    found = find_revisions("HEAD", repository)
    assert (found.base == found.head, found.same, len(found.changed)) == (True, False, 1)
    assert "1 file changed" in found.candidate
    base, candidate = prepare_trees(found)
    assert base.place(Path("toy.py"), found.root).read_text() == before
    assert candidate.place(Path("toy.py"), found.root).read_text() == "changed\n"
    assert len(str(candidate.root)) == len(str(base.root))
    assert (base.installed, candidate.installed, base.environment(found.root)) == (None, None, {})
    assert made.git(repository, "status", "--porcelain") == "M toy.py"
    elsewhere = repository.parent / "data"
    assert base.place(elsewhere, found.root) == elsewhere


def test_one_revision_on_both_sides_is_named(repository):
    assert find_revisions("main", repository).same


def test_a_project_is_installed_from_both_revisions_changes_included(project):
    (project / "gated.py").write_text("VALUE = 2\n")
    found = find_revisions("HEAD", project)
    for tree, value in zip(prepare_trees(found), (1, 2), strict=True):
        environment = {**os.environ, **tree.environment(found.root)}
        command = [sys.executable, "-P", "-c", "import gated; print(gated.VALUE)"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert int(done.stdout) == value
    assert sorted(path.name for path in project.iterdir()) == [
        ".git", "backend.py", "gated.py", "pyproject.toml", "toy.py",
    ]  # fmt: skip
    assert prepare_trees(find_revisions("HEAD", project))[0] == prepare_trees(found)[0]


def test_variables_that_name_the_repository_name_its_other_revision(repository, monkeypatch):
    (repository / "lib").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository / "lib"), "/elsewhere"]))
    base, candidate = prepare_trees(found := find_revisions("HEAD", repository))
    assert base.environment(found.root)["PYTHONPATH"] == os.pathsep.join([str(base.root / "lib"), "/elsewhere"])
    assert candidate.environment(found.root) == base.environment(found.root)


def test_what_cannot_be_installed_ends_with_the_installers_words(project):
    (project / "backend.py").write_text("raise RuntimeError('broken in this revision')\n")
    made.commit(project)
    (project / "backend.py").write_text(BACKEND)
    with pytest.raises(RevisionError, match="broken in this revision") as caught:
        prepare_trees(find_revisions("HEAD", project))
    assert caught.value.exit_code == 5
    assert "the base revision HEAD cannot be installed" in str(caught.value)


def test_a_file_of_tools_settings_is_no_project(repository):
    (repository / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    assert find_revisions("HEAD", repository).project is None


def test_the_project_around_the_current_folder_is_taken(project):
    inner = project / "plugins" / "one"
    inner.mkdir(parents=True)
    (inner / "setup.py").write_text("")
    assert find_revisions("HEAD", inner).project == Path("plugins/one")
    assert find_revisions("HEAD", project).project == Path()


@pytest.mark.parametrize("ref", ["mian", "v9", "--upload-pack=x", "HEAD~40", "0" * 40])
def test_an_unknown_revision_is_named_with_what_is_close(repository, ref):
    with pytest.raises(SelectionError, match="git knows no such commit") as caught:
        find_revisions(ref, repository)
    assert repr(ref)[:20] in str(caught.value)
    if ref == "mian":
        assert "did you mean 'main'?" in str(caught.value)


def test_a_shallow_clone_says_how_to_get_the_rest(repository, tmp_path):
    first = made.git(repository, "rev-parse", "HEAD")
    made.write(repository, width=65)
    made.commit(repository)
    made.git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(SelectionError, match=r"git fetch --unshallow.*fetch-depth: 0"):
        find_revisions(first, tmp_path / "shallow")
    assert find_revisions("HEAD", tmp_path / "shallow").same


def test_outside_a_repository_and_before_the_first_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SelectionError, match="no git repository in"):
        find_revisions("HEAD", tmp_path / "empty")
    made.git(tmp_path / "empty", "init", "--quiet")
    with pytest.raises(SelectionError, match="no commit yet in"):
        find_revisions("HEAD", tmp_path / "empty")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SelectionError, match="git is not installed"):
        find_revisions("HEAD", tmp_path / "empty")
