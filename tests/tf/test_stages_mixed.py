"""quantize.keep and quantize.debug through the stages, after pruning and for both recipes."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tests.output_helpers import evaluation
from tfedge.core.outputs import write
from tfedge.errors import InvariantBroken
from tfedge.stages import convert
from tfedge.tasks.table import task_of
from tfedge.tflite.editing import Editor
from tfedge.tflite.kernels import with_float_input
from tfedge.tflite.runtime import LiteRT

KEEP = {"logits": "float", "Conv_1": "float", "block_13_*": "int16"}  # block_13: not trained here


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def kept(chain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    settings = {"keep": KEEP, "debug": True, "unfreeze": "block_14", "epochs": 2}
    run = chain.again(folder, but=("quantize", "convert", "evaluate"), quantize=settings)
    return run("quantize", "convert", "debug")


def types(run: tiny.Run) -> dict[str, set[str]]:
    """Types of the kernels and results of each op, by all layers that its tensors are named for."""
    model, found = run.tflite(), {}
    for op in model.ops:
        if op.name not in ("QUANTIZE", "DEQUANTIZE"):
            made = [model.tensors[i] for i in op.outputs]
            read = [model.tensors[i] for i in op.inputs if i >= 0]
            stored = [t for t in read if t.is_const and len(t.shape) > 1]  # no biases
            for layer in {t.name.split("/")[0] for t in (*made, *stored)}:
                found.setdefault(layer, set()).update(t.dtype for t in (*made, *stored))
    return found


def test_only_what_is_named_is_above_8_bits_in_the_file(kept):
    found = types(kept)
    assert found["logits"] == found["Conv_1"] == {"float32"}
    for layer in ("block_13_expand", "block_13_depthwise", "block_13_project"):
        assert found[layer] == {"int8", "int16"}, layer  # kernels of 8 bits
    rest = [n for n in found if n not in ("logits", "Conv_1") and not n.startswith("block_13_")]
    rest = [n for n in rest if n not in ("Conv_1_bn", "out_relu")]  # of Conv_1's own op
    assert len(rest) > 50 and all(found[name] == {"int8"} for name in rest)
    model = kept.tflite()
    assert [t.dtype for t in (*model.inputs, *model.outputs)] == ["uint8", "uint8"]
    LiteRT(kept.read("convert/model.tflite")).invoke(np.zeros((1, tiny.SIZE, tiny.SIZE, 3), "u1"))


def test_model_json_says_what_was_kept(kept, chain):
    described = kept.json("convert/model.json")["kept"]
    assert described["logits"] == described["Conv_1"] == "float"
    assert {name for name, to in described.items() if to == "int16"} == {
        "block_13_expand",
        "block_13_depthwise",
        "block_13_project",
    }
    assert kept.json("quantize/quantize.json")["kept"] == described
    assert "kept" not in chain.json("convert/model.json")


def test_zeros_of_pruning_survive_in_every_precision(kept):
    zeros = {row["name"]: row["zeros"] for row in kept.json("prune/sparsity.json")["layers"]}
    stored = {row["name"]: row["zeros"] for row in kept.json("convert/model.json")["layers"]}
    for layer in ("Conv_1", "block_14_expand", "block_14_depthwise"):
        assert stored[layer] >= zeros[layer] > 0, layer


def test_debug_lists_every_op_by_its_harm(kept):
    found = kept.json("debug/debug.json")
    names = [row["unit"] for row in found["layers"]]
    assert len(names) == len(set(names)) == 65
    assert {"Conv1", "block_2_add", "block_16_project", "pool", "logits"} < set(names)
    harms = [row["divergence"] for row in found["layers"]]
    assert harms == sorted(harms, reverse=True) and harms[0] > 0
    errors = {row["unit"]: row["error"] for row in found["layers"]}
    assert errors.pop("pixel_offset") == 0, "whole numbers in a step of 1"
    assert all(error > 0.2 for error in errors.values())  # rounding is 0.29, but of zeros none
    assert {row["unit"]: row["kept"] for row in found["layers"]}["logits"] == "float"
    assert (found["split"], found["n"], found["quick"]) == ("val", 15, False)
    assert found["float"]["agreement"] == 1
    # The file itself answers as its graph says, but for an image between two classes.
    assert abs(found["file"]["agreement"] - found["now"]["agreement"]) < 0.1
    proposed = found["proposed"]
    assert found["now"]["kept"].items() <= proposed["kept"].items()
    assert 1 - proposed["agreement"] <= found["limit"]


def test_pixels_come_by_way_of_float_where_that_is_asked_for(chain, tmp_path):
    run = chain.again(tmp_path, but=("convert", "evaluate"), quantize={"xnnpack_input": True})
    plain, made = chain.tflite(), run("convert").tflite()
    kinds = [op.name for op in made.ops]
    assert kinds[:2] == ["DEQUANTIZE", "QUANTIZE"]
    assert kinds[1:] == [op.name for op in plain.ops]
    assert run.json("convert/model.json")["float_tensors"] == 1
    before, after = (LiteRT(one.read("convert/model.tflite")) for one in (chain, run))
    for n in range(9):
        pixels = tiny.image(n % 3, n)[None]
        assert np.array_equal(before.invoke(pixels), after.invoke(pixels))


def test_a_file_that_answers_otherwise_by_way_of_float_is_not_shipped(chain, tmp_path, monkeypatch):
    def halved(content):
        editor = Editor(with_float_input(content))
        pixels = editor.graph.tensors[editor.graph.inputs[0]]
        pixels.quantization.scale = np.array([0.5], np.float32)
        return editor.content()

    monkeypatch.setattr(convert, "with_float_input", halved)
    run = chain.again(tmp_path, but=("convert", "evaluate"), quantize={"xnnpack_input": True})
    with pytest.raises(InvariantBroken, match="xnnpack_input leaves every answer"):
        run("convert")


def test_ptq_keeps_layers_with_ranges_of_its_own(chain, tmp_path):
    settings = {"recipe": "ptq", "keep": {"block_16_*": "float"}}
    run = chain.again(tmp_path, but=("quantize", "convert", "evaluate"), quantize=settings)
    found = types(run("quantize", "convert"))
    assert found["block_16_expand"] == found["block_16_project"] == {"float32"}
    assert found["Conv_1"] == found["logits"] == {"int8"}
    assert run.json("convert/model.json")["recipe"] == "ptq"
    labels = [n // tiny.VAL for n in range(3 * tiny.VAL)]
    images = [tiny.image(c, tiny.TRAIN[c] + n) for c in range(3) for n in range(tiny.VAL)]
    litert = LiteRT(run.read("convert/model.tflite"))
    answers = [litert.invoke(p[None])[0].argmax() for p in images]
    assert np.mean(np.equal(answers, labels)) > 0.7  # three colours: a third by chance


def test_automatic_debug_takes_a_quick_look_where_int8_lost(chain, tmp_path):
    run = chain.again(tmp_path, evaluate={})
    top1 = task_of("image-classification").primary
    metrics = evaluation(top1, {"float": 0.9, "pruned": 0.9, "int8": 0.8})
    write(tmp_path / "metrics.json", metrics)
    run.files["evaluate/metrics.json"] = tmp_path / "metrics.json"
    found = run("debug").json("debug/debug.json")
    assert found["quick"] and found["proposed"] is None
    assert (found["n"], len(found["layers"])) == (15, 65)  # all of 15: the net is a tiny one
    harms = [row["divergence"] for row in found["layers"]]
    assert harms == sorted(harms, reverse=True) and harms[0] > 0


def test_debug_of_ptq_needs_no_kept_layer(chain, tmp_path):
    run = chain.again(
        tmp_path,
        but=("quantize", "convert", "evaluate"),
        quantize={"recipe": "ptq", "debug": True},
        evaluate={"gates": {"max_accuracy_drop": 0.25}},
    )
    found = run("quantize", "convert", "debug").json("debug/debug.json")
    assert found["now"]["kept"] == {} and len(found["layers"]) == 65
    assert (found["limit"], found["limit_from"]) == (0.25, "evaluate.gates.max_accuracy_drop")
