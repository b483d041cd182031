"""The three torch libraries: versions that belong together, and builds that can be imported."""

from __future__ import annotations

import importlib.metadata

import pytest

from bench.studies.doctor.run import check_triple, mismatches

RELEASES = [("2.5.1", "2.5.1", "0.20.1"), ("2.8.0", "2.8.0", "0.23.0"), ("2.11.0", "2.11.0", "0.26.0")]


def versions(torch, audio, vision):
    return {"torch": torch, "torchaudio": audio, "torchvision": vision}


@pytest.mark.parametrize("release", RELEASES)
def test_published_triples_belong_together(release) -> None:
    assert mismatches(versions(*release)) == []


def test_same_build_belongs_together() -> None:
    assert mismatches(versions("2.11.0+cu128", "2.11.0+cu128", "0.26.0+cu128")) == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (("2.13.0", "2.11.0", "0.28.0"), "torchaudio 2.11.0 does not belong to torch 2.13.0; 2.13 does"),
        (("2.11.0", "2.11.0", "0.25.0"), "torchvision 0.25.0 does not belong to torch 2.11.0; 0.26 does"),
        (("2.11.0", None, "0.26.0"), "torchaudio not installed"),
        (("2.11.0+cpu", "2.11.0+cu128", "0.26.0+cpu"), "builds for different devices"),
    ],
)
def test_mismatch_is_named_with_what_fits(found, says) -> None:
    problems = mismatches(versions(*found))
    assert len(problems) == 1
    assert says in problems[0]


def test_a_build_that_does_not_load_is_a_problem_though_its_version_fits() -> None:
    def load(name):
        if name == "torchaudio":
            raise OSError("libcudart.so.13: cannot open shared object file\nmore")

    fits = versions(*RELEASES[-1])
    triple = check_triple(installed=fits.__getitem__, load=load)
    assert triple.problems == (
        "torchaudio cannot be imported: OSError: libcudart.so.13: cannot open shared object file",
    )
    assert triple.command.startswith("pip install ")


def test_the_installed_triple_is_whole_and_the_command_names_the_pins() -> None:
    triple = check_triple()
    assert triple.problems == ()
    assert triple.versions["torch"] == importlib.metadata.version("torch")
    assert all(f"{name}==" in triple.command for name in triple.versions)


def test_missing_library_is_not_imported() -> None:
    def installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    def load(name):
        raise AssertionError(f"{name} was imported")

    triple = check_triple(installed=installed, load=load)
    assert triple.problems == ("torch and torchaudio and torchvision not installed",)
