"""What of a model the Edge TPU compiler maps, what not, and why."""

from __future__ import annotations

import pytest
from tflite_helpers import DATA, Net, conv

from tfedge.edgetpu import edgetpu, edgetpu_rules
from tfedge.edgetpu.edgetpu import Mapping, predict
from tfedge.tflite.model import Model
from tfedge.tflite.reader import read


def targets(mapping: Mapping) -> str:
    """One letter an op: T for the Edge TPU, c for the CPU."""
    return "".join("T" if op.target == "tpu" else "c" for op in mapping.ops)


def statuses(mapping: Mapping) -> list[str]:
    return [op.status for op in mapping.ops]


def chain(*names: str) -> Model:
    net = Net()
    x = net.input((1, 8, 8, 8))
    for name in names:
        x = net.op(name, [x], (1, 8, 8, 8))
    return net.model(x)


def test_a_quantized_classifier_is_mapped_whole() -> None:
    mapping = predict(read(DATA / "color_int8.tflite"))
    assert set(targets(mapping)) == {"T"}
    assert (mapping.mapped, mapping.total) == (len(mapping.ops), len(mapping.ops))
    assert (mapping.compiled, mapping.subgraphs, mapping.runs) == (False, 1, 1)
    assert 200 < mapping.parameter_bytes < 10_000
    assert mapping.streamed_bytes == 0
    assert mapping.notes == ()


def test_a_float_model_is_not_mapped_and_told_to_be_quantized() -> None:
    mapping = predict(read(DATA / "color_float.tflite"))
    assert mapping.mapped == mapping.subgraphs == mapping.parameter_bytes == 0
    assert any("float" in op.reason for op in mapping.ops)


def test_what_follows_the_first_op_that_is_not_mapped_stays_on_the_cpu() -> None:
    mapping = predict(chain("RELU", "RELU6", "ABS", "RELU", "TANH"))
    assert targets(mapping) == "TTccc"
    assert statuses(mapping)[2:] == [
        edgetpu_rules.UNSUPPORTED,
        edgetpu_rules.SUBGRAPH,
        edgetpu_rules.SUBGRAPH,
    ]
    assert "behind op 2 ABS" in mapping.ops[4].reason
    assert mapping.runs == 2
    assert any("op 2 ABS keeps 2 ops" in note for note in mapping.notes)
    assert any("-a" in note and "2 ops more" in note for note in mapping.notes)


def test_ops_on_the_cpu_before_the_first_that_is_mapped_do_no_harm() -> None:
    assert targets(predict(chain("ABS", "EXP", "RELU", "TANH", "ABS"))) == "ccTTc"


def test_a_branch_beside_the_unmapped_op_is_mapped() -> None:
    net = Net()
    x = net.input((1, 8, 8, 8))
    bad = net.op("ABS", [x], (1, 8, 8, 8))
    left = net.op("RELU", [bad], (1, 8, 8, 8))
    right = net.op("RELU", [x], (1, 8, 8, 8))
    right = net.op("TANH", [right], (1, 8, 8, 8))
    both = net.op("ADD", [left, right], (1, 8, 8, 8))
    # ABS is ready first: all that the CPU can do comes first, then all the rest in one subgraph
    assert targets(predict(net.model(both))) == "cTTTT"

    net = Net()
    x = net.input((1, 8, 8, 8))
    first = net.op("RELU6", [x], (1, 8, 8, 8))
    bad = net.op("ABS", [first], (1, 8, 8, 8))
    right = net.op("RELU", [first], (1, 8, 8, 8))
    both = net.op("ADD", [bad, right], (1, 8, 8, 8))
    assert targets(predict(net.model(both))) == "TcTc"


def test_the_culprit_is_the_op_and_not_the_casts_around_it() -> None:
    mapping = predict(read(DATA / "color_sin.tflite"))
    names = [op.op for op in mapping.ops]
    sin = names.index("SIN")
    assert names[sin - 1] == "DEQUANTIZE" and mapping.ops[sin - 1].target == "cpu"
    assert targets(mapping) == "T" * (sin - 1) + "c" * (len(names) - sin + 1)
    assert all(f"behind op {sin} SIN" in op.reason for op in mapping.ops[sin + 2 :])


def test_float_inputs_and_outputs_cost_two_ops() -> None:
    net = Net()
    x = net.op("QUANTIZE", [net.input((1, 8, 8, 3), "float32")], (1, 8, 8, 3))
    x = conv(net, x, 8)
    mapping = predict(net.model(net.op("DEQUANTIZE", [x], (1, 8, 8, 8), "float32", version=2)))
    assert targets(mapping) == "cTc"
    assert statuses(mapping)[::2] == [edgetpu_rules.DATA_TYPE] * 2
    assert any("inference_input_type" in note for note in mapping.notes)


def test_a_custom_op_stays_on_the_cpu() -> None:
    net = Net()
    x = conv(net, net.input((1, 4, 4, 3)), 8)
    out = net.op("PosenetDecoderOp", [x], (1, 10), "float32", custom=True)
    mapping = predict(net.model(out))
    assert targets(mapping) == "Tc"
    assert "PosenetDecoderOp" in mapping.ops[1].reason


def test_one_op_that_is_too_new_makes_the_compiler_refuse_the_file() -> None:
    net = Net()
    x = conv(net, net.input((1, 4, 4, 3)), 8)
    mapping = predict(net.model(net.op("ADD", [x, x], (1, 4, 4, 8), version=5)))
    assert targets(mapping) == "cc"
    assert mapping.ops[0].reason == "file refused: because of op 1 ADD"
    assert "2.13.0" in mapping.ops[1].reason
    assert any("TensorFlow 2.6" in note for note in mapping.notes)


def test_an_op_that_is_newer_than_what_is_mapped_is_left_alone() -> None:
    net = Net()
    x = conv(net, net.input((1, 4, 4, 3)), 8)
    mapping = predict(net.model(net.op("ADD", [x, x], (1, 4, 4, 8), version=4)))
    assert targets(mapping) == "Tc"
    assert mapping.ops[1].status == edgetpu_rules.VERSION


def test_a_computed_shape_makes_the_compiler_refuse_the_file() -> None:
    net = Net()
    x = conv(net, net.input((1, 4, 4, 3)), 8)
    shape = net.op("SHAPE", [x], (4,), "int32")
    mapping = predict(net.model(net.op("RESHAPE", [x, shape], (1, 128))))
    assert targets(mapping) == "ccc"
    assert mapping.ops[2].status == edgetpu_rules.DYNAMIC


def test_an_open_batch_is_taken_as_the_file_has_it() -> None:
    net = Net()
    x = net.input((1, 4, 4, 3), signature=(-1, 4, 4, 3))
    mapping = predict(net.model(conv(net, x, 8)))
    assert targets(mapping) == "T"
    assert any("open dimension" in note for note in mapping.notes)


def test_parameters_beyond_the_memory_of_the_chip_are_told() -> None:
    net = Net()
    x = net.input((1, 1, 1, 3072))
    for _ in range(2):
        x = conv(net, x, 3072)
    mapping = predict(net.model(x))
    assert mapping.parameter_bytes == pytest.approx(2 * 3072 * 3072, rel=0.02)
    assert mapping.streamed_bytes == mapping.parameter_bytes - edgetpu.ON_CHIP
    assert any("sent in every inference" in note for note in mapping.notes)


@pytest.mark.parametrize(
    ("channels", "padded"), [(1, 16), (10, 16), (17, 32), (33, 64), (64, 64), (1001, 1024)]
)
def test_output_channels_are_padded(channels: int, padded: int) -> None:
    net = Net()
    mapping = predict(net.model(conv(net, net.input((1, 4, 4, 64)), channels)))
    assert mapping.parameter_bytes == padded * 64 + -(-12 * padded // 64) * 64


def test_a_shared_kernel_is_counted_once() -> None:
    net = Net()
    x = conv(net, net.input((1, 4, 4, 16)), 16)
    once = predict(net.model(x)).parameter_bytes
    _, weights, bias = net.ops[0].inputs
    net.op("CONV_2D", [x, weights, bias], (1, 4, 4, 16), version=3)
    assert predict(net.model(x)).parameter_bytes == once


def test_an_op_that_waits_for_itself_ends() -> None:
    net = Net()
    x = net.input((1, 8, 8, 8))
    out = net.op("RELU", [x, 1], (1, 8, 8, 8))
    mapping = predict(net.model(out))
    assert targets(mapping) == "c"


def test_long_chains_take_no_recursion() -> None:
    assert predict(chain(*["RELU"] * 3000, "ABS", *["RELU"] * 3000)).mapped == 3000


def test_scales_do_not_matter_but_types_do() -> None:
    for dtype, status in (("uint8", ""), ("int16", edgetpu_rules.DATA_TYPE)):
        net = Net()
        x = net.input((1, 4, 4, 8), dtype)
        mapping = predict(net.model(net.op("ADD", [x, x], (1, 4, 4, 8), dtype)))
        assert statuses(mapping) == [status]
