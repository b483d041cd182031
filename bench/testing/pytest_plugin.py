"""A pytest plugin: one conformance test over all that your bench plugin gives, and over all it will ever give.

It is active wherever ``bench-audio`` is installed and does nothing until a test asks for ``bench_case``. In your
project, name your plugin (its entry point, its distribution or its Python file) in ``pyproject.toml``::

    [tool.pytest.ini_options]
    bench_plugin = ["hello"]

and write one test::

    def test_conformance(bench_case):
        bench_case.check()

``pytest -k hello.linear`` then runs one model's checks. The command line can name plugins too and wins over the file:
``pytest --bench-plugin ./my_model.py``. ``--bench-data DIR`` says where data sets are (otherwise ``BENCH_DATA``), and
``--bench-slow`` lets large networks learn 32 clips by heart. A test of your own can look at the results::

    def test_says_how_large_it_is(bench_case):
        if bench_case.subject.kind == "model":
            (counted,) = [r for r in bench_case.results() if r.name == "parameters"]
            assert counted.status == "passed"

``bench_timer`` times a call as bench times models, warmed up and synchronised, one thing a test::

    def test_speed(bench_timer):
        bench_timer(lambda i: model(clips[i % len(clips)]))

``pytest --bench-json times.json`` keeps the samples in the format of pytest-benchmark: ``bench gate BASE.json
times.json`` compares them, and a test that was renamed or is gone is never green.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.testing.timing import BenchTimer, write_times

if TYPE_CHECKING:
    from bench.measurement.latency import Samples
    from bench.plugins.registry import Registry
    from bench.testing.results import CheckResult
    from bench.testing.subjects import Subject

_FIXTURE = "bench_case"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCase:
    """One thing that the plugin under test gives.

    Attributes:
        subject: Its kind and name.
        registry: Everything that is registered.
        data: Folder with data sets, ``None`` for ``BENCH_DATA``.
        slow: Whether slow checks run too.
    """

    subject: Subject
    registry: Registry
    data: Path | None = None
    slow: bool = False

    def results(self) -> tuple[CheckResult, ...]:
        """The results of all checks, run now."""
        from bench.testing.results import Effort

        return self.subject.check(self.registry, effort=Effort(slow=self.slow), data=self.data)

    def check(self) -> None:
        """Fail the test with every check that failed; skip it where nothing could be checked."""
        results = self.results()
        broken = [str(result) for result in results if result.status == "failed"]
        if broken:
            pytest.fail("\n".join(broken), pytrace=False)
        if not any(result.status == "passed" for result in results):
            pytest.skip("; ".join(result.message for result in results))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--bench-plugin``, ``--bench-data``, ``--bench-json``, ``--bench-slow`` and the ini option ``bench_plugin``."""
    text = "bench plugin to check: a name or a Python file"
    group = parser.getgroup("bench")
    group.addoption("--bench-plugin", action="append", metavar="NAME|FILE", help=f"{text}; may be given again")
    group.addoption("--bench-data", type=Path, metavar="DIR", help="folder with the data sets that are checked")
    group.addoption("--bench-json", type=Path, metavar="FILE", help="keep what bench_timer measured, for bench gate")
    group.addoption("--bench-slow", action="store_true", help="let large networks learn 32 clips by heart too")
    parser.addini("bench_plugin", help=text, type="args", default=[])


_TIMES = pytest.StashKey[dict[str, "Samples"]]()


@pytest.fixture
def bench_timer(request: pytest.FixtureRequest) -> BenchTimer:
    """Times one call of the test, see :class:`bench.testing.timing.BenchTimer`."""
    if hasattr(request.config, "workerinput"):
        pytest.skip("times taken beside other tests mean nothing: run without -n")
    measured = request.config.stash.setdefault(_TIMES, {})
    return BenchTimer(fullname=request.node.nodeid, measured=measured)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was timed where ``--bench-json`` says."""
    measured, path = session.config.stash.get(_TIMES, {}), session.config.getoption("--bench-json")
    if measured and path is not None:
        write_times(session.config.invocation_params.dir / path, measured)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per thing that the plugins under test give."""
    if _FIXTURE in metafunc.fixturenames:
        cases = _cases(metafunc.config)
        metafunc.parametrize(_FIXTURE, cases, ids=[f"{c.subject.kind}-{c.subject.name}" for c in cases])


def _cases(config: pytest.Config) -> list[BenchCase]:
    from bench.errors import BenchError
    from bench.plugins.discovery import discover
    from bench.testing.subjects import given_by

    named: list[str] = config.getoption("--bench-plugin") or config.getini("bench_plugin")
    if not named:
        raise pytest.UsageError(
            f"a test asks for {_FIXTURE}, but no plugin is named: set bench_plugin in the pytest configuration, or "
            "give --bench-plugin NAME or FILE.py"
        )
    files = {name: (config.invocation_params.dir / name).resolve() for name in named if name.endswith(".py")}
    try:
        registry = discover(list(files.values()))
        subjects = given_by(registry, [str(files.get(name, name)) for name in named])
    except BenchError as error:
        raise pytest.UsageError(str(error)) from error
    if not subjects:
        raise pytest.UsageError(f"{', '.join(named)} gives nothing to check")
    data, slow = config.getoption("--bench-data"), config.getoption("--bench-slow")
    return [BenchCase(subject=subject, registry=registry, data=data, slow=slow) for subject in subjects]
