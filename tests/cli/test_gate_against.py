"""``bench gate --against REF`` from the command line, in a repository of two revisions of a plain file."""

import importlib.util
import json
from pathlib import Path

import pytest

from bench.__main__ import main

PATH = Path(__file__).parents[1] / "studies" / "gate" / "conftest.py"
spec = importlib.util.spec_from_file_location("bench_test_gated_repository", PATH)
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
repository = made.repository

WORDS = ["gate", "--plugin", "toy.py", "--models", "toy", "--device", "cpu", "--minutes", "0.03", "--against"]


@pytest.mark.usefixtures("warm_workers")
def test_a_larger_model_is_a_regression_and_every_form_says_so(repository, capfd):
    made.write(repository, width=65)
    forms = ["--json", "v.json", "--summary", "v.md", "--junit", "v.xml", "--annotate"]
    assert main([*WORDS, "HEAD", *forms]) == 3
    shown = capfd.readouterr()
    assert "::error title=regression%3A parameters::" in shown.out
    assert "1 file changed" in shown.err
    verdict = json.loads((repository / "v.json").read_text())
    found = {one["quantity"]: one for one in verdict["findings"]}
    assert {"parameters", "flops", "latency", "infer_throughput", "train_throughput", "host_memory"} <= found.keys()
    assert (found["parameters"]["baseline"], found["parameters"]["candidate"]) == (650, 660)
    assert found["parameters"]["status"] == found["flops"]["status"] == "regression"
    assert 'failures="' in (repository / "v.xml").read_text()
    assert (repository / "v.md").read_text().startswith("## Gate regression: ")
    lines = (repository / "results" / "gate" / "blocks.jsonl").read_text().splitlines()
    assert {"counts", "block", "most"} == {json.loads(line)["what"] for line in lines[1:]}


@pytest.mark.usefixtures("warm_workers")
def test_a_candidate_that_raises_has_vanished(repository, capfd):
    text = (repository / "toy.py").read_text().replace("return self.linear", "raise KeyError('gone')  #")
    (repository / "toy.py").write_text(text)
    assert main([*WORDS, "main"]) == 4
    assert "candidate: KeyError in stage" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([*WORDS, "v9"], 2, "git knows no such commit"),
        ([*WORDS, "HEAD", "results"], 2, "takes no results: results"),
        (["gate", "a", "b", "--models", "toy"], 2, "go with --against REF"),
        (["gate"], 2, "compared with nothing"),
        ([*WORDS, "HEAD", "--models", "toi"], 2, "no model named 'toi'"),
        ([*WORDS, "HEAD", "--policy", "nowhere.toml"], 2, "nowhere.toml"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_junit_too(repository, capsys, words, status, message):
    made.write(repository, names="('toy', 'more')")
    made.commit(repository)
    assert main([*words, "--junit", "v.xml"]) == status
    assert message in capsys.readouterr().err
    assert 'errors="1"' in (repository / "v.xml").read_text()


def test_a_model_that_only_the_candidate_has_compares_nothing(repository, capsys):
    made.write(repository, names="('toy', 'more')")
    assert main([*WORDS, "HEAD", "--models", "more"]) == 4
    assert "the base has no such cell" in capsys.readouterr().out


def test_a_module_beside_the_plugin_is_that_of_its_revision(repository, capsys):
    def revised(name):
        (repository / "beside.py").write_text(f"NAMES = ('{name}',)\n")
        text = made.MODEL.replace("in NAMES]", "in beside.NAMES]").replace(
            "import bench", "import beside\n\nimport bench"
        )
        (repository / "toy.py").write_text(text.replace("WIDTH", "64"))

    revised("older")
    made.commit(repository)
    revised("toy")
    assert main([*WORDS, "HEAD"]) == 4
    assert "the base has no such cell" in capsys.readouterr().out


def test_a_base_that_cannot_be_planned_is_a_revision_that_cannot_be_measured(repository, capsys):
    (repository / "toy.py").write_text("raise RuntimeError('old and broken')\n")
    made.commit(repository)
    made.write(repository)
    assert main([*WORDS, "HEAD", "--junit", "v.xml"]) == 5
    error = capsys.readouterr().err
    assert "the base revision HEAD cannot be measured" in error
    assert "old and broken" in error
    made.git(repository, "rm", "--quiet", "--cached", "toy.py")
    made.git(repository, "commit", "--quiet", "--message", "not tracked")
    assert main([*WORDS, "HEAD"]) == 5
