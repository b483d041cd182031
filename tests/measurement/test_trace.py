import json

import pytest
import torch

from bench.errors import BenchError
from bench.measurement.trace import write_trace


@pytest.fixture
def step():
    layer = torch.nn.Linear(64, 64)
    return lambda _: layer(torch.randn(32, 64)).sum().backward()


def test_trace_is_chrome_json_with_the_operators_and_no_local_path(step, tmp_path):
    trace = write_trace(step, tmp_path / "traces", device="cpu", steps=2)
    text = trace.file.read_text()
    content = json.loads(text)
    names = {event.get("name") for event in content["traceEvents"]}
    assert "aten::addmm" in names
    assert sum(name is not None and name.startswith("ProfilerStep#") for name in names) == 2
    assert str(tmp_path) not in text
    assert trace.file.name.endswith(".pt.trace.json")


def test_top_operators_come_first(step, tmp_path):
    rows = write_trace(step, tmp_path, device="cpu", steps=2, top=5).operators
    assert len(rows) == 5
    own = [row["self_cpu_ms"] for row in rows]
    assert own == sorted(own, reverse=True)
    assert all(row["self_device_ms"] is None and row["cpu_ms"] >= row["self_cpu_ms"] > 0 for row in rows)
    assert not any(row["name"].startswith("ProfilerStep") for row in rows)
    json.dumps(rows)


def test_a_second_trace_does_not_replace_the_first(step, tmp_path):
    first = write_trace(step, tmp_path, device="cpu", steps=1)
    second = write_trace(step, tmp_path, device="cpu", steps=1)
    assert first.file != second.file
    assert first.file.exists()
    assert second.file.exists()


@pytest.mark.parametrize("steps", [0, 6])
def test_number_of_steps_is_bounded(step, tmp_path, steps):
    with pytest.raises(BenchError, match=f"steps is {steps}; a trace takes 1 to 5 steps"):
        write_trace(step, tmp_path, device="cpu", steps=steps)
