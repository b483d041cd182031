"""torch and torchvision: versions that belong together, builds that can be imported; torchaudio only where it loads."""

from __future__ import annotations

import importlib.metadata

import pytest

from bench.studies.doctor import run
from bench.studies.doctor.run import check_triple, examine, mismatches

RELEASES = [("2.5.1", "0.20.1"), ("2.8.0", "0.23.0"), ("2.11.0", "0.26.0"), ("2.14.1", "0.29.1")]


def versions(torch, vision, audio=None):
    return {"torch": torch, "torchvision": vision, "torchaudio": audio}


@pytest.mark.parametrize("release", RELEASES)
def test_published_pairs_belong_together(release) -> None:
    assert mismatches(versions(*release)) == []


def test_same_build_belongs_together() -> None:
    assert mismatches(versions("2.11.0+cu128", "0.26.0+cu128", "2.11.0+cpu")) == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (("2.11.0", "0.25.0"), "torchvision 0.25.0 does not belong to torch 2.11.0; 0.26 does"),
        (("2.11.0", None), "torchvision not installed"),
        (("2.11.0+cpu", "0.26.0+cu128"), "builds for different devices"),
    ],
)
def test_mismatch_is_named_with_what_fits(found, says) -> None:
    problems = mismatches(versions(*found))
    assert len(problems) == 1
    assert says in problems[0]


def refusing(broken):
    def load(name):
        if name == broken:
            raise OSError("libcudart.so.13: cannot open shared object file\nmore")

    return load


def test_a_build_that_does_not_load_is_a_problem_though_its_version_fits() -> None:
    triple = check_triple(installed=versions(*RELEASES[-1], "2.11.0").__getitem__, load=refusing("torchvision"))
    assert triple.problems == (
        "torchvision cannot be imported: OSError: libcudart.so.13: cannot open shared object file",
    )
    assert triple.unusable == ""
    assert triple.command.startswith("pip install ")


def test_a_torchaudio_that_does_not_load_is_a_warning_with_a_command(monkeypatch, tmp_path) -> None:
    triple = check_triple(installed=versions(*RELEASES[-1], "2.11.0").__getitem__, load=refusing("torchaudio"))
    assert triple.problems == ()
    monkeypatch.setattr(run, "check_triple", lambda: triple)
    quiet = run._Quiet(noise=None, neighbours=None, findings=[])
    monkeypatch.setattr(run, "_noise", lambda: quiet)
    checkup = examine(out=tmp_path)
    (found,) = [one for one in checkup.findings if one.kind == "libraries"]
    assert (found.level, found.command) == ("warning", "pip uninstall -y torchaudio")
    assert "libcudart" in found.message


def test_torchaudio_need_not_be_there() -> None:
    def installed(name):
        if name == "torchaudio":
            raise importlib.metadata.PackageNotFoundError(name)
        return versions(*RELEASES[-1])[name]

    triple = check_triple(installed=installed, load=refusing("torchaudio"))
    assert (triple.problems, triple.unusable) == ((), "")


def test_the_installed_pair_is_whole_and_the_command_names_what_is_asked_for(monkeypatch) -> None:
    asked = ["torch>=2.11", "torchvision>=0.26", 'torchaudio>=2.11; extra == "torchaudio"', 'torch-tb>=1; extra == "a"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asked)
    triple = check_triple()
    assert triple.problems == ()
    assert triple.versions["torch"] == importlib.metadata.version("torch")
    assert triple.command == "pip install --force-reinstall 'torch>=2.11' 'torchvision>=0.26'"


def test_missing_library_is_not_imported() -> None:
    def installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    def load(name):
        raise AssertionError(f"{name} was imported")

    triple = check_triple(installed=installed, load=load)
    assert triple.problems == ("torch and torchvision not installed",)
