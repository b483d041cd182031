"""Files of ONNX Runtime and LiteRT give what the runtimes give, whatever length clips have."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bench.clips import TaskInfo
from bench.errors import CheckpointError
from bench_plugins.encoders import runtimes, targets

TASK = TaskInfo(num_classes=3, sample_rate=8_000, clip_samples=1_000)
WAVES = np.random.default_rng(0).standard_normal((3, 1_000)).astype(np.float32)
LENGTHS = torch.tensor([1_000, 700, 330])


@pytest.fixture
def onnx_file(tmp_path):
    """``onnx_file(input shape, nodes, outputs)``: a file made by hand; ``x`` is its input."""
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed: pip install onnx onnxruntime")
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed: pip install onnx onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    def write(shape, nodes, outputs, name="model.onnx", **constants):
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes], "g",
            [tensor("x", TensorProto.FLOAT, shape)], [tensor(one, TensorProto.FLOAT, None) for one in outputs],
            [numpy_helper.from_array(value, key) for key, value in constants.items()],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return write


MEAN_AND_PEAK = [
    ("ReduceMean", ["x"], ["mean"], {"axes": [-1], "keepdims": 1}),
    ("ReduceMax", ["x"], ["peak"], {"axes": [-1], "keepdims": 1}),
    ("Concat", ["mean", "peak"], ["both"], {"axis": -1}),
]


def built(file, **options):
    kind = file.suffix[1:]
    resolved = getattr(targets, kind)(file, **options)
    return runtimes.build(TASK, **resolved.fields["options"])


def embed(encoder):
    return encoder.embed(audio=torch.from_numpy(WAVES), audio_samples=LENGTHS).numpy()


def stats(wave):
    return np.array([wave.mean(), wave.max()])


@pytest.mark.parametrize("shape", [["n", "t"], [1, "t"], ["t"], ["n", 1, "t"]])
def test_clips_of_any_length_whatever_the_input_is_called(shape, onnx_file) -> None:
    encoder = built(onnx_file(shape, MEAN_AND_PEAK, ["both"]))
    expected = [stats(wave[:count]) for wave, count in zip(WAVES, LENGTHS.tolist(), strict=True)]
    np.testing.assert_allclose(embed(encoder), expected, atol=1e-6)
    assert encoder(torch.from_numpy(WAVES)).shape == (3, 3)
    np.testing.assert_array_equal(embed(copy.deepcopy(encoder)), embed(encoder))


@pytest.mark.parametrize(("shape", "options"), [([1, 400], {}), ([4, 400], {}), (["n", "t"], {"window": 400})])
def test_windows_cover_a_clip_and_a_short_rest_is_left_out(shape, options, onnx_file) -> None:
    encoder = built(onnx_file(shape, MEAN_AND_PEAK, ["both"]), hop=200, **options)
    starts = {1_000: (0, 200, 400, 600), 700: (0, 200, 400), 330: (0,)}  # one of less than half sound is left out
    expected = []
    for wave, count in zip(WAVES, LENGTHS.tolist(), strict=True):
        padded = np.pad(wave[:count], (0, 400))
        expected.append(np.mean([stats(padded[start : start + 400]) for start in starts[count]], axis=0))
    np.testing.assert_allclose(embed(encoder), expected, atol=1e-6)


def test_outputs_by_name_and_number_and_steps_are_averaged(onnx_file) -> None:
    nodes = [("Reshape", ["x", "form"], ["steps"]), *MEAN_AND_PEAK[:2]]
    file = onnx_file(["n", 1_000], nodes, ["mean", "steps"], form=np.array([-1, 10, 100]))
    whole = WAVES.copy()
    for row, count in zip(whole, LENGTHS.tolist(), strict=True):
        row[count:] = 0
    expected = whole.reshape(3, 10, 100).mean(1)
    for output in ("steps", "1"):
        np.testing.assert_allclose(embed(built(file, output=output)), expected, atol=1e-6)
    with pytest.raises(CheckpointError, match=r"several outputs; choose one with \?output=NAME .*mean, steps"):
        built(file)
    with pytest.raises(CheckpointError, match="no output 'other'"):
        built(file, output="other")


def test_what_takes_no_waveform_or_gives_no_vector_is_one_error(onnx_file, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"shape \(1, 64, 96\); a waveform is \(batch, samples\)"):
        built(onnx_file([1, 64, 96], MEAN_AND_PEAK, ["both"]))
    maps = [("Reshape", ["x", "form"], ["maps"])]
    with pytest.raises(CheckpointError, match=r"gives \(1, 1, 10, 100\) for 1 clips"):
        built(onnx_file(["n", 1_000], maps, ["maps"], form=np.array([-1, 1, 10, 100])))
    with pytest.raises(CheckpointError, match="not window=300"):
        built(onnx_file([1, 400], MEAN_AND_PEAK, ["both"]), window=300)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(CheckpointError, match="cannot be read by ONNX Runtime"):
        built(tmp_path / "text.onnx")
    with pytest.raises(CheckpointError, match="no file at"):
        targets.onnx(tmp_path / "none.onnx")


@pytest.fixture
def tflite_file(tmp_path):
    """A fully connected layer to four values, then a ReLU, on windows of 400 samples; and its matrix."""
    pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed: pip install ai-edge-litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name, shape, buffer):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, shape, schema.TensorType.FLOAT32, buffer
        return made

    def operator(code, inputs, outputs, options=None):
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
        if options is not None:
            made.builtinOptionsType, made.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options
        return made

    matrix = np.random.default_rng(1).standard_normal((4, 400)).astype(np.float32)
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [
        tensor("wave", [1, 400], 0), tensor("matrix", [4, 400], 1), tensor("inner", [1, 4], 0),
        tensor("out", [1, 4], 0),
    ]  # fmt: skip
    graph.inputs, graph.outputs = [0], [3]
    graph.operators = [operator(0, [0, 1, -1], [2], schema.FullyConnectedOptionsT()), operator(1, [2], [3])]
    codes = [schema.OperatorCodeT(), schema.OperatorCodeT()]
    for code, builtin in zip(codes, (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.RELU), strict=True):
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
    buffers = [schema.BufferT(), schema.BufferT()]
    buffers[1].data = matrix.view(np.uint8).reshape(-1)
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], codes, buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "model.tflite").write_bytes(builder.Output())
    return tmp_path / "model.tflite", matrix


def test_tflite_gives_its_output_and_tensors_on_the_way(tflite_file) -> None:
    file, matrix = tflite_file
    padded = np.zeros((3, 1_400), dtype=np.float32)
    for row, wave, count in zip(padded, WAVES, LENGTHS.tolist(), strict=True):
        row[:count] = wave[:count]
    starts = {1_000: (0, 400), 700: (0, 400), 330: (0,)}
    inner = [
        np.stack([matrix @ row[start : start + 400] for start in starts[count]])
        for row, count in zip(padded, LENGTHS.tolist(), strict=True)
    ]
    found = built(file)
    np.testing.assert_allclose(embed(found), [np.maximum(one, 0).mean(0) for one in inner], rtol=1e-4, atol=1e-4)
    within = built(file, output="inner")
    np.testing.assert_allclose(embed(within), [one.mean(0) for one in inner], rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match="no output 'other'"):
        built(file, output="other")
