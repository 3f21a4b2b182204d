"""A user's file, saved from a net of Keras Applications that is rewritten here."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import tiny
from tf_keras.src.applications import inception_resnet_v2

from tfedge.errors import ArtifactError, StageError
from tfedge.modeling.nets import backbone
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.rewrite import rewritten_weights
from tfedge.modeling.nets.weights import original, source
from tfedge.pipeline.schema import Backbone


@pytest.fixture(scope="module", autouse=True)
def built_once():
    """What nets are rewritten from: the same layers, whatever their weights are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "as_keras_has_it", functools.cache(backbone.as_keras_has_it))
        yield


def load(path, name, alpha=1.0, size=32):
    notes = tiny.Notes()
    chosen = Backbone(name=name, alpha=alpha, weights=str(path))
    return source.load(chosen, size, path.parent, notes), notes.lines


def same(loaded, expected):
    assert loaded.weights.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(loaded.weights[key], value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A MobileNetV3, whose layers' names have a ``/``, with a head, saved in Keras' ways."""
    fresh(5)
    folder = tmp_path_factory.mktemp("saved")
    net = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3), alpha=0.75, weights=None, include_top=False
    )
    pooled = keras.layers.GlobalAveragePooling2D()(net.output)
    model = keras.Model(net.input, keras.layers.Dense(3, name="scores")(pooled))
    model.compile("sgd", "mse")
    model.save_weights(folder / "classic.h5")
    model.save(folder / "model.h5")
    model.save(folder / "model.keras")
    model.save_weights(folder / "counted.weights.h5")
    keras.Sequential([net, keras.layers.GlobalMaxPooling2D()]).save_weights(folder / "nested.h5")
    np.savez(folder / "named.npz", **{v.name: v.numpy() for v in model.weights})
    np.savez(folder / "ours.npz", **rewritten_weights(net))
    return folder, rewritten_weights(net)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("classic.h5", "scores"),
        ("model.h5", "scores"),
        ("model.keras", "scores"),
        ("counted.weights.h5", "layers_dense"),
        ("named.npz", "scores"),
        ("nested.h5", ""),
        ("ours.npz", ""),
    ],
)
def test_every_way_to_save_it_comes_in(saved, name, head):
    folder, expected = saved
    loaded, notes = load(folder / name, "MobileNetV3Small", 0.75)
    same(loaded, expected)
    assert notes[1:] == ([f"weights: left out, no layers of the backbone: {head}"] if head else [])


@pytest.mark.parametrize("name", ["classic.h5", "model.keras", "counted.weights.h5", "named.npz"])
def test_another_net_gets_one_message(saved, name):
    with pytest.raises(ArtifactError, match="not the weights of this backbone") as caught:
        load(saved[0] / name, "MobileNetV3Small", 1.0)
    said = caught.value.message
    # what differs first, as Keras calls it, and not all hundreds
    assert re.search(r": expanded_conv_3_project/kernel: expected \(.*, 40\), got \(.*, 32\)", said)
    assert said.endswith("; and 140 more")


def test_names_that_count_on_from_other_nets_come_in_by_position(tmp_path):
    """Xception's shortcuts have no names; the second one of a session counts on."""
    fresh(5)
    for _ in range(2):
        keras.layers.Conv2D(1, 1)(keras.layers.BatchNormalization()(keras.Input((8, 8, 3))))
    net = keras.applications.Xception(input_shape=(71, 71, 3), weights=None, include_top=False)
    assert "conv2d_2" in [layer.name for layer in net.layers]
    pooled = keras.layers.GlobalAveragePooling2D()(net.output)
    model = keras.Model(net.input, keras.layers.Dense(3)(pooled))
    model.save_weights(tmp_path / "w.h5")
    model.save(tmp_path / "w.keras")
    first = {
        re.sub(r"^(conv2d|batch_normalization)_(\d)/", lambda m: f"{m[1]}_{int(m[2]) - 2}/", key)
        .replace("_0/", "/"): value
        for key, value in rewritten_weights(net).items()
    }  # fmt: skip
    for file in ("w.h5", "w.keras"):
        loaded, notes = load(tmp_path / file, "Xception", size=71)
        same(loaded, first)
        assert notes[1:] == ["weights: left out, no layers of the backbone: dense"]


def test_the_norm_behind_keras_classifier_is_the_one_before_it(tmp_path):
    """ConvNeXt: with its top, the last norm has another name, and stands behind the pooling."""
    fresh(5)
    net = keras.applications.ConvNeXtTiny(input_shape=(32, 32, 3), weights=None, classes=7)
    net.get_layer("convnext_tiny_head_layernorm").gamma.assign(np.arange(768))
    net.save_weights(tmp_path / "top.h5")
    loaded, notes = load(tmp_path / "top.h5", "ConvNeXtTiny")
    norm = loaded.weights["layer_normalization/depthwise_kernel"]  # a norm's scale, a step here
    np.testing.assert_array_equal(norm.ravel(), np.arange(768))
    assert notes[1:] == ["weights: left out, no layers of the backbone: convnext_tiny_head_dense"]


def test_factors_that_keras_keeps_beside_a_kernel_go_into_it_once(tmp_path, monkeypatch):
    """Inception-ResNet: what Keras saves fits the net as it is here, and is not its weights."""
    block = inception_resnet_v2.inception_resnet_block
    few = {"block35": 1, "block17": 1, "block8": 10}  # of 40

    def only(x, scale, block_type, block_idx, **options):
        if few[block_type] != block_idx:
            return x
        return block(x, scale, block_type, block_idx, **options)

    monkeypatch.setattr(inception_resnet_v2, "inception_resnet_block", only)
    fresh(5)
    net = keras.applications.InceptionResNetV2(
        input_shape=(75, 75, 3), weights=None, include_top=False
    )
    net.save_weights(tmp_path / "w.h5")
    loaded, _ = load(tmp_path / "w.h5", "InceptionResNetV2", size=75)
    kernel = net.get_layer("block35_1_conv").kernel.numpy()
    np.testing.assert_allclose(loaded.weights["block35_1_conv/kernel"], kernel * 0.17, rtol=1e-6)
    np.savez(tmp_path / "base.npz", **loaded.weights)
    again, _ = load(tmp_path / "base.npz", "InceptionResNetV2", size=75)
    same(again, loaded.weights)


def test_efficientnet_brings_its_own_normalisation(tmp_path):
    fresh(5)
    net = keras.applications.EfficientNetB0(
        input_shape=(32, 32, 3), weights=None, include_top=False
    )
    net.save_weights(tmp_path / "w.h5")  # Keras starts with mean 0 and variance 1
    loaded, notes = load(tmp_path / "w.h5", "EfficientNetB0")
    same(loaded, rewritten_weights(net))
    assert (loaded.mean, loaded.std) == ((0, 0, 0), (255, 255, 255))
    assert "as its Normalization layer says: RGB, less (0.0, 0.0, 0.0)" in notes[0]


@pytest.mark.parametrize(
    ("variance", "std"),
    [
        # ImageNet's hold standard deviations there, and Keras divides once more
        ((0.229, 0.224, 0.225), (58.395, 57.12, 57.375)),
        ((0.04, 0.04, 0.09), (51, 51, 76.5)),  # adapted by a user
    ],
)
def test_statistics_become_mean_and_std(variance, std):
    given = original.norm("EfficientNetB0", [np.float32([0.5, 0.4, 0.3]), np.float32(variance)])
    np.testing.assert_allclose(given, ((127.5, 102, 76.5), std), rtol=1e-6)
    assert original.norm("EfficientNetB0", []) == original.BACKBONES["EfficientNetB0"].norm


# ------------------------------------------------------------------ a net of the user's own


def own(folder, kind):
    """MobileNetV2 behind layers of its own, saved, and the feature map of some pixels."""
    fresh(3)
    pixels = keras.Input((32, 32, 3))
    changed = {
        "255": lambda: keras.layers.Rescaling(1 / 255)(pixels),
        "ops": lambda: keras.applications.mobilenet_v2.preprocess_input(pixels),
        "norm": lambda: keras.layers.Normalization(mean=[9, 8, 7], variance=[5, 6, 7])(pixels),
        "mine": lambda: keras.layers.Lambda(lambda x: x / 9)(pixels),
    }[kind]()  # fmt: skip
    base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False)
    pooled = keras.layers.GlobalAveragePooling2D()(base(changed))
    model = keras.Model(pixels, keras.layers.Dense(3)(pooled))
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    tiny.lively(base, keras.Model(pixels, changed)(images))
    said = keras.Model(pixels, base(changed))(images).numpy()
    for name in ("own.keras", "own.h5"):
        model.save(folder / name)
    model.save_weights(folder / "alone.h5", save_format="h5")
    return images, said


def says(loaded, images):
    net = backbone.bare("MobileNetV2", 0.35, 32)
    backbone.assign(net, loaded.weights)
    return net((images - np.array(loaded.mean)) / np.array(loaded.std)).numpy()


@pytest.mark.parametrize("kind", ["255", "ops", "norm"])
def test_its_own_layers_say_what_its_weights_want_of_pixels(tmp_path, kind):
    images, expected = own(tmp_path, kind)
    for name in ("own.keras", "own.h5"):
        loaded, notes = load(tmp_path / name, "MobileNetV2", 0.35)
        np.testing.assert_allclose(says(loaded, images), expected, atol=1e-3)
        if kind == "ops":
            assert loaded.mean == loaded.std == (127.5,) * 3
        assert "its own layers say" in notes[0]


def test_a_key_says_it_where_the_file_can_not(tmp_path):
    images, expected = own(tmp_path, "255")
    file = tmp_path / "alone.h5"
    loaded, notes = load(file, "MobileNetV2", 0.35)
    assert "as MobileNetV2 does by default" in notes[0]
    assert np.abs(says(loaded, images) - expected).max() > 0.1
    said = {"mean": [0, 0, 0], "std": [255, 255, 255]}
    chosen = Backbone(name="MobileNetV2", alpha=0.35, weights=str(file), normalization=said)
    notes = tiny.Notes()
    loaded = source.load(chosen, 32, tmp_path, notes)
    np.testing.assert_allclose(says(loaded, images), expected, atol=1e-3)
    assert (
        "backbone.normalization says: RGB, less (0.0, 0.0, 0.0), over (255.0, 255.0, 255.0)"
        in notes.lines[0]
    )
    turned = Backbone(**{**chosen.model_dump(), "normalization": {**said, "channels": "bgr"}})
    mirrored = source.load(turned, 32, tmp_path, notes)
    np.testing.assert_array_equal(
        mirrored.weights["Conv1/kernel"], loaded.weights["Conv1/kernel"][:, :, ::-1]
    )


def test_a_layer_that_is_not_known_is_named_with_the_way_out(tmp_path):
    own(tmp_path, "mine")
    with pytest.raises(StageError, match=r"its layer lambda \(Lambda\) does to pixels") as caught:
        load(tmp_path / "own.h5", "MobileNetV2", 0.35)
    assert "backbone.normalization: {mean: " in caught.value.hint
