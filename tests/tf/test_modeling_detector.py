"""A detector's network, what it learns, and what becomes of its two outputs in a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.strides import STRIDES, taps
from tfedge.core.context import Context
from tfedge.errors import DropError, InvariantBroken
from tfedge.files.progress import NoProgress
from tfedge.inputs.images.anchors import anchors, cells
from tfedge.inputs.images.annotations.index import Truth
from tfedge.inputs.images.schema import BoxAugment
from tfedge.modeling.compression import calibration, quantization, quantize_configs
from tfedge.modeling.detection import DetectorHead
from tfedge.modeling.nets import detector, network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import computed, float_pixels, freeze, to_tflite
from tfedge.modeling.nets.network import Spec
from tfedge.modeling.nets.ports import packed_shape, run, shapes_of, side_by_side
from tfedge.modeling.training import loop, whole_head
from tfedge.modeling.training.boxes import AnchorTargets, Boxes, BoxSource, quality_loss
from tfedge.modeling.training.features import places
from tfedge.stages import convert
from tfedge.tasks.object_detection import drop
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.work import ObjectDetection
from tfedge.tflite.apart import answers
from tfedge.tflite.editing import Editor
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import Pool, predict

SIZE, CLASSES = 64, 3
SPEC = Spec("MobileNet", 0.25, SIZE, (127.5,) * 3, (127.5,) * 3, CLASSES)


@pytest.fixture(scope="module")
def model():
    """With biases that are not all the same, as after some steps."""
    fresh(1)
    made = detector.build(SPEC)
    random = np.random.default_rng(0)
    for layer in made.layers:
        if layer.name.startswith(("detect_boxes_", "detect_scores_")) and layer.weights:
            layer.bias.assign(layer.bias + random.normal(0, 0.3, layer.bias.shape))
            layer.kernel.assign(random.normal(0, 0.2, layer.kernel.shape))
    images = pixels(32).astype(np.float32)
    network.estimate_norms(made, [images])
    return made


def pixels(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, size, size, 3), np.uint8)


def serve(outputs):
    return Boxes.serve(SimpleNamespace(), outputs)


@pytest.mark.parametrize("size", [64, 65, 96, 97])
def test_an_anchor_for_each_cell(size: int) -> None:
    made = detector.build(Spec("MobileNetV2", 0.35, size, (0,) * 3, (1,) * 3, CLASSES))
    shapes = [tuple(output.shape[1:]) for output in made.outputs]
    assert shapes == [(sum(cells(size)), 4), (sum(cells(size)), CLASSES)]
    assert made.output_names == [detector.BOXES, detector.SCORES]


def test_the_neck_is_light_and_the_wide_top_is_left_out() -> None:
    made = detector.build(Spec("MobileNetV2", 1.0, 65, (0,) * 3, (1,) * 3, CLASSES))
    above = [layer for layer in made.layers if layer.name.startswith(detector.PREFIX)]
    assert 55_000 < sum(layer.count_params() for layer in above) < 144_000
    assert "Conv_1" not in {layer.name for layer in made.layers}
    outputs = [block.output for block in taps("MobileNetV2")]
    assert outputs == ["block_5_add", "block_12_add", "block_16_project_BN"]


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50"])
def test_taps_are_of_the_strides(name: str) -> None:
    native = BACKBONES[name].native_size
    sides = [block.shape[0] for block in taps(name)]
    assert sides == [-(-native // stride) for stride in STRIDES]


@pytest.mark.parametrize(("size", "most"), [(65, 1.5), (64, 4.0)])
def test_cells_see_the_places_that_their_anchors_say(size: int, most: float) -> None:
    """The middle of what a cell of the finest map reacts to, through the net itself. At 32k + 1 the
    grid of 32k would be 3.5 pixels off; at 32k half a stride is what padding makes of it."""
    fresh(3)
    made = detector.build(Spec("MobileNetV2", 0.35, size, (127.5,) * 3, (127.5,) * 3, CLASSES))
    random = np.random.default_rng(0)
    for layer in made.layers:  # all alike: what a cell sees hangs on where it looks alone
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.depthwise_kernel.assign(
                np.abs(random.normal(0.3, 0.02, layer.depthwise_kernel.shape))
            )
    lateral = keras.Model(made.input, made.get_layer("detect_lateral_8").output)
    side, off = int(cells(size)[0] ** 0.5), []
    for cell in range(2, side - 2):
        image = tf.constant(
            np.random.default_rng(cell).uniform(0, 255, (1, size, size, 3)), "float32"
        )
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = tf.reduce_sum(tf.square(lateral(image, training=False)[0, cell, cell]))
        weight = np.abs(tape.gradient(seen, image).numpy()[0]).sum((1, 2))
        middle = (weight * (np.arange(size) + 0.5)).sum() / weight.sum()
        off.append(middle - anchors(size)[cell * side + cell, 1] * size)
    assert abs(np.mean(off)) < most


def test_parts_above_several_tensors_compute_what_the_whole_does(model) -> None:
    """At the base's end all three maps pass; packed into one row and unpacked they are the same."""
    image = tf.constant(pixels(2).astype(np.float32))
    lower, upper = network.cut(model, taps("MobileNet", 0.25)[-1].output)
    shapes = shapes_of(lower.outputs)
    assert [shape[0] for shape in shapes] == [8, 4, 2]
    assert packed_shape(shapes) == (sum(int(np.prod(shape)) for shape in shapes),)
    passing = [tf.reshape(tensor, (2, -1)) for tensor in lower(image)]
    together = run(upper, tf.concat(passing, -1), training=False)
    np.testing.assert_allclose(together, side_by_side(model(image)), atol=1e-5)


def test_only_what_is_read_passes_a_boundary(model) -> None:
    first, second, _ = taps("MobileNet", 0.25)
    assert len(network.cut(model, first.output)[0].outputs) == 1
    assert len(network.cut(model, second.output)[0].outputs) == 2


def test_outputs_are_found_by_name_in_whatever_order_a_file_has_them(model) -> None:
    content = float_pixels(model, SIZE, serve=serve)
    assert {port.name for port in read(content).outputs} == {"boxes", "scores"}
    editor = Editor(content)
    editor.graph.outputs = list(reversed(list(editor.graph.outputs)))
    images = pixels(3)
    found = predict(content, images)
    assert found.shape == (3, sum(cells(SIZE)), 4 + CLASSES)
    np.testing.assert_array_equal(predict(editor.content(), images), found)
    boxes, logits = model(images.astype(np.float32), training=False)
    # Sums of some hundred float32 numbers, in another order; far below a step of 8 bits.
    np.testing.assert_allclose(found[..., :4], boxes, atol=1e-3)
    np.testing.assert_allclose(found[..., 4:], tf.sigmoid(logits), atol=1e-3)


def converted(graph, **more) -> bytes:
    return to_tflite(graph, int8=True, input_type=tf.uint8, output_type=tf.uint8, **more)


def graph_of(model):
    return freeze(lambda x: serve(model(x, training=False)), (SIZE, SIZE, 3), tf.float32)


def test_boxes_and_scores_have_ranges_of_their_own(model) -> None:
    """In one tensor of 8 bits the scores would share the steps of the boxes."""
    images = pixels(16).astype(np.float32)
    content = converted(graph_of(model), representative=lambda: ([image[None]] for image in images))
    found = {port.name: port for port in read(content).outputs}
    assert {name: port.dtype for name, port in found.items()} == dict.fromkeys(found, "uint8")
    assert found["scores"].quantization.scales[0] == pytest.approx(1 / 256)
    assert found["boxes"].quantization.scales[0] > 2 / 256
    assert read(content).float_tensors() == []


@pytest.fixture(scope="module")
def trained_in_8_bits(model):
    copy = detector.build(SPEC)
    copy.set_weights(model.get_weights())
    wrapped = quantization.ranged(copy, calibration.Batches(pixels(32)), preserve_zeros=False)
    return wrapped, converted(graph_of(wrapped))


def test_a_doubled_map_has_the_scale_of_the_map(trained_in_8_bits) -> None:
    """Copying bytes: else a QUANTIZE stands behind each, and the range is not the map's."""
    found = read(trained_in_8_bits[1])
    resizes = [op for op in found.ops if op.name == "RESIZE_NEAREST_NEIGHBOR"]
    assert len(resizes) == 2
    for op in resizes:
        given, made = found.tensors[op.inputs[0]], found.tensors[op.outputs[0]]
        assert given.quantization == made.quantization
    assert found.float_tensors() == [] and not any(op.custom for op in found.ops)


def test_a_doubled_map_learns_no_range_of_its_own() -> None:
    """In training it would lag behind that of the map, and the device copies bytes."""
    made = detector.build(SPEC)
    configs = quantize_configs.configs_of(made, preserve_zeros=False)
    doubled = [one for one in made.layers if isinstance(one, keras.layers.UpSampling2D)]
    assert len(doubled) == 2
    for layer in doubled:
        assert configs[layer.name].get_output_quantizers(layer) == []
        (above,) = (node.outbound_layer for node in layer.outbound_nodes)
        assert configs[above.name].get_output_quantizers(above)  # the sum has one


def test_the_file_answers_as_the_network(trained_in_8_bits) -> None:
    wrapped, content = trained_in_8_bits
    images = pixels(4)
    got, wanted = predict(content, images), computed(graph_of(wrapped), images)
    assert np.abs(got[..., 4:] - wanted[..., 4:]).mean() < 0.02  # five of 256 steps
    assert np.corrcoef(got[..., 0].ravel(), wanted[..., 0].ravel())[0, 1] > 0.9


def test_int8_activations_of_several_tensors_have_a_scale_each(trained_in_8_bits) -> None:
    wrapped, _ = trained_in_8_bits
    end = taps("MobileNet", 0.25)[-1].output
    lower, _ = network.cut(wrapped, end, quantization.PREFIX)
    part = freeze(lambda x: lower(x, training=False), (SIZE, SIZE, 3), tf.float32)
    content = to_tflite(part, int8=True, input_type=tf.uint8, output_type=tf.int8, signature=False)
    names = [port.name for port in read(content).outputs]
    assert sorted(names) != names  # of layers: neither their order nor their names can be relied on
    pool = Pool(content)
    outputs = pool.run(pixels(2), outputs=places(pool.shapes, shapes_of(lower.outputs)))
    for got, wanted in zip(outputs, lower(pixels(2).astype(np.float32)), strict=True):
        assert np.corrcoef(got.ravel(), wanted.numpy().ravel())[0, 1] > 0.9


def test_a_box_that_is_right_costs_nothing() -> None:
    grid = anchors(64)
    corners = np.concatenate([grid[:, :2] - grid[:, 2:] / 2, grid[:, :2] + grid[:, 2:] / 2], 1)
    wanted = np.full((1, len(grid), 5), -1, np.float32)
    wanted[0, 5, 0], wanted[0, :, 1:] = 1, corners
    outputs = np.full((1, len(grid), 4 + CLASSES), -20, np.float32)
    outputs[..., :4] = 0
    outputs[0, 5, 4 + 1] = 20
    weights = np.ones(1, np.float32)
    right = float(quality_loss(tf.constant(grid), tf.constant(outputs), (wanted,), weights))
    assert right == pytest.approx(0, abs=1e-5)
    moved = outputs.copy()
    moved[0, 5, 0] = 5  # by half of the anchor's height
    worse = float(quality_loss(tf.constant(grid), tf.constant(moved), (wanted,), weights))
    assert worse > right + 0.5


def test_a_wild_size_has_a_finite_loss_and_no_gradient_that_is_none() -> None:
    grid = anchors(64)
    wanted = np.zeros((1, len(grid), 5), np.float32)
    wanted[..., 1:] = [0.2, 0.2, 0.6, 0.6]
    outputs = tf.Variable(np.full((1, len(grid), 4 + CLASSES), 1e4, np.float32))
    with tf.GradientTape() as tape:
        loss = quality_loss(tf.constant(grid), outputs, (wanted,), np.ones(1, np.float32))
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, outputs).numpy()).all()


def test_scores_learn_how_good_their_box_is() -> None:
    """The score with the least loss is the IoU of the box that is predicted, not 1."""
    grid = anchors(64)
    corners = np.concatenate([grid[:, :2] - grid[:, 2:] / 2, grid[:, :2] + grid[:, 2:] / 2], 1)
    wanted = np.full((1, len(grid), 5), -1, np.float32)
    wanted[0, 5] = [0, *corners[5]]
    outputs = np.full((1, len(grid), 4 + CLASSES), -20, np.float32)
    outputs[..., :4] = 0
    outputs[0, 5, 0] = 10 * 0.5  # half of it moved away: IoU 1/3
    losses = {}
    for score in (0.1, 1 / 3, 0.6, 0.95):
        outputs[0, 5, 4] = np.log(score / (1 - score))
        losses[score] = float(
            quality_loss(tf.constant(grid), tf.constant(outputs), (wanted,), np.ones(1, np.float32))
        )
    assert min(losses, key=losses.__getitem__) == 1 / 3


def test_outputs_of_a_frozen_part_that_can_not_be_told_apart_are_refused() -> None:
    assert places([(1, 2, 3), (1, 4)], [(4,), (2, 3)]) == [1, 0]
    for found in ([(1, 2), (1, 2)], [(1, 2)], [(1, 2), (1, 5)]):
        with pytest.raises(ValueError, match="each once"):
            places(found, [(2,), (2,)])


@pytest.mark.parametrize("equal", [True, False])
def test_a_file_that_answers_otherwise_than_its_network_does_not_ship(
    equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias of equal values, as before training, gets one channel's scale for all channels from
    the converter: scores are others then, without an error. The stage compares."""
    fresh(1)
    made, random = detector.build(SPEC), np.random.default_rng(0)
    for layer in made.layers:
        if layer.name.startswith(("detect_boxes_", "detect_scores_")) and layer.weights:
            sizes = random.uniform(0.002, 0.3, layer.kernel.shape[-1])
            layer.kernel.assign(random.normal(0, 1, layer.kernel.shape) * sizes)
            if not equal:
                layer.bias.assign(layer.bias + random.normal(0, 1e-3, layer.bias.shape))
    network.estimate_norms(made, [pixels(32).astype(np.float32)])
    seen = calibration.Batches(pixels(32))
    graph = graph_of(quantization.ranged(made, seen, preserve_zeros=False))
    examples = SimpleNamespace(
        representative=lambda count, seed: list(range(count)), inputs=lambda rows: pixels(len(rows))
    )
    given = {
        "load_graph": lambda path: graph,
        "head_class": lambda ctx: DetectorHead,
        "examples_of": lambda ctx: examples,
        "task_work": lambda ctx: ObjectDetection(),
    }
    for name, value in given.items():
        monkeypatch.setattr(convert, name, value)
    quantized = SimpleNamespace(recipe="qat", kept=None, ranges="inside")
    monkeypatch.setattr(convert.outputs, "read", lambda path, kind: quantized)
    inputs = {"quantize/quantize.json": Path(), "quantize/graph.pb": Path()}
    ctx = cast(
        Context,
        SimpleNamespace(has=inputs.__contains__, inputs=inputs, pipeline=SimpleNamespace(seed=1)),
    )
    if not equal:
        assert convert._converted(ctx)[1:] == ("qat", {})
        return
    with pytest.raises(InvariantBroken, match="answers as the network it is made of"):
        convert._converted(ctx)


def contract_of(content: bytes) -> list[str]:
    """The names of the outputs that a drop of this file tells."""
    images = SimpleNamespace(size=SIZE, fit="stretch", levels=None)
    examples = SimpleNamespace(images=images, classes=tuple("abc"))
    _, taken = drop.contract(content, cast(BoxedImages, examples))
    return [part["name"] for part in taken["parts"]]


def test_a_drop_has_boxes_and_scores_in_whatever_order(trained_in_8_bits, tmp_path: Path) -> None:
    """And its golden pairs are replayed so."""
    editor = Editor(trained_in_8_bits[1])
    editor.graph.outputs = list(reversed(list(editor.graph.outputs)))
    file, image = tmp_path / "m.tflite", tmp_path / "000.input.bin"
    pixels(1).tofile(image)
    (wanted,) = predict(trained_in_8_bits[1], pixels(1), raw=True)
    for content in (trained_in_8_bits[1], editor.content()):
        assert contract_of(content) == ["boxes", "scores"]
        file.write_bytes(content)
        np.testing.assert_array_equal(answers(file, [image]).outputs[0], wanted)


def joined(outputs):
    """Boxes in pixels and scores in one tensor, as some detectors have them."""
    return {"output": tf.concat([outputs["boxes"] * SIZE, outputs["scores"]], -1)}


def suppressed(outputs):
    """What TFLite_Detection_PostProcess gives: it finds nothing in 8-bit boxes and scores."""
    names = [f"TFLite_Detection_PostProcess{end}" for end in ("", "_1")]
    found = outputs["boxes"][:, :10], outputs["scores"][:, :10, 0]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("served", [joined, suppressed])
def test_no_drop_has_other_outputs(model, served) -> None:
    graph = freeze(lambda x: served(serve(model(x, training=False))), (SIZE, SIZE, 3), tf.float32)
    images = pixels(8).astype(np.float32)
    content = converted(graph, representative=lambda: ([image[None]] for image in images))
    with pytest.raises(DropError, match="a drop needs boxes"):
        contract_of(content)


@pytest.mark.parametrize("of_views", [True, False])
def test_noise_shows_an_image_and_not_its_view(of_views: bool) -> None:
    """The boxes are those of the image then, too; of a class there is no difference."""
    count, views = 40, 3
    items = np.arange(count * views, dtype=np.float32)
    wanted = loop.LearningTargets(items[:, None])
    noise = loop.Noise(lambda at: -1.0 - at[:, None], np.arange(count), 0.5, 1)
    batches = loop.Memory(
        lambda at: at[:, None].astype(float),
        lambda random: random.integers(1, views, count) * count + np.arange(count),
        *(wanted, np.ones(len(items), np.float32), count, 1, noise, of_views),
    )
    ((inputs, (targets,), _),) = batches.epoch(1)
    shown = inputs[:, 0] < 0
    assert 0 < shown.sum() < count
    np.testing.assert_array_equal(targets[~shown, 0], inputs[~shown, 0])
    examples = -1 - inputs[shown, 0]
    assert (targets[shown, 0] == examples).all() == of_views
    np.testing.assert_array_equal(targets[shown, 0] % count, examples)


def test_views_have_the_boxes_that_their_pixels_show() -> None:
    """What an anchor learns of a view is where the thing is in the view."""
    truth = Truth(np.array([[0.25, 0.25, 0.5, 0.6]], np.float32), np.array([2]), np.array([False]))
    index = SimpleNamespace(rows=[SimpleNamespace(sha256="a" * 64)])
    images = SimpleNamespace(size=SIZE, fit="stretch", levels=None, index=index)
    source = BoxSource(images, BoxAugment(views=4), 1, Path(), NoProgress())
    examples = SimpleNamespace(truth=lambda row: truth)
    items = [(0, view) for view in range(5)]
    found = AnchorTargets(source, examples, items)[np.arange(5)]
    for item, learnt in zip(items, found, strict=True):
        change = source.change(item)
        boxes = truth.boxes if change is None else change.boxes(truth.boxes, SIZE)[0]
        seen = learnt[learnt[:, 0] >= 0]
        if len(boxes):
            assert (seen[:, 0] == 2).all() and len(seen)
            np.testing.assert_allclose(seen[:, 1:], np.repeat(boxes, len(seen), 0), atol=1e-6)
    assert len({found[number].tobytes() for number in range(5)}) == 5
    assert len({source.key(item) for item in items}) == 5


def test_batch_norm_learns_in_the_neck_and_holds_in_the_base(monkeypatch) -> None:
    """In a fine-tune of a few dozen steps the base's statistics would lag behind its weights."""
    fresh(2)
    made, seen = detector.build(SPEC), []

    def train(part, batches, settings, **more):
        norms = [la for la in part.layers if isinstance(la, keras.layers.BatchNormalization)]
        seen.append({la.name: la.trainable for la in norms})
        return loop.Course([])

    monkeypatch.setattr(whole_head.loop, "train", train)
    samples = SimpleNamespace(
        batches=lambda *given: SimpleNamespace(steps=1),
        progress=NoProgress(),
        objective=SimpleNamespace(loss=lambda: None),
    )
    base = whole_head._below(made, taps("MobileNet", 0.25)[-1].output)
    rate = 1, 1e-3
    for first in ("conv_pw_5_relu", taps("MobileNet", 0.25)[-1].output):
        _, upper = network.cut(made, first)
        part = SimpleNamespace(model=upper, training_inputs=lambda what: None)
        whole_head._train(samples, part, None, None, rate, "blocks", None, base)
    blocks, head = seen
    assert {name for name, learns in blocks.items() if learns} == set(head)
    assert head and all(head.values()) and all(name.startswith("detect_") for name in head)
    assert any(not learns for learns in blocks.values())
