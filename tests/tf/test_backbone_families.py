"""Every family of Keras Applications: the file Keras would fetch, and what its weights say here.

``weights="imagenet"`` makes other nets than ``weights=None`` does (EfficientNet divides once more
behind its Normalization), so Keras is asked for them, with nothing fetched. The files are the
test's own: what the nets have after `tiny.lively`, in Keras' layout.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import itertools
import json
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import tiny
from tf_keras.src.applications import (
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    imagenet_utils,
    inception_resnet_v2,
    nasnet,
    regnet,
    resnet,
    resnet_rs,
)
from tf_keras.src.utils import data_utils

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.keras_files import KERAS_FILES
from tfedge.core.slice import context_of
from tfedge.core.stages import stage as row
from tfedge.inputs.images.schema import ImageData as Data
from tfedge.modeling.nets import backbone, network
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.weights import imagenet
from tfedge.pipeline.schema import Backbone, pipeline_of
from tfedge.stages import backbone as stage

# The smallest member of each family; together they use every rule of ``rewrite``.
SIDES = {
    **dict.fromkeys(("MobileNet", "MobileNetV2", "MobileNetV3Small"), 32),
    **dict.fromkeys(("EfficientNetB0", "EfficientNetV2B0", "ResNet50"), 32),
    **dict.fromkeys(("ResNet50V2", "ResNetRS50", "DenseNet121"), 32),
    **dict.fromkeys(("InceptionV3", "InceptionResNetV2", "Xception"), 75),
    **dict.fromkeys(("NASNetMobile", "ConvNeXtTiny", "RegNetX002", "VGG16"), 32),
}
STAGED = ("MobileNetV3Small", "EfficientNetB0", "ResNet50V2", "ConvNeXtTiny", "RegNetX002")


@pytest.fixture
def imagenet_net(monkeypatch):
    """``imagenet_net(name, side, …)``: Keras' net with ``weights="imagenet"``, without its weights,
    and what it would have fetched: (name in Keras' cache, address, digest)."""

    def make(name, side, **options):
        asked, shape = [], (side, side, 3)

        def get_file(fname, origin, file_hash="", **_):
            asked.append((fname, origin, file_hash))
            return fname

        with monkeypatch.context() as patch:
            patch.setattr(data_utils, "get_file", get_file)
            patch.setattr(keras.Model, "load_weights", lambda *args, **kwargs: None)
            # Keras gives NASNet its weights at the native side only; they fit at any.
            patch.setattr(imagenet_utils, "obtain_input_shape", lambda given, **_: given)
            constructor = getattr(keras.applications, name)
            net = constructor(include_top=False, weights="imagenet", input_shape=shape, **options)
        for layer in net.layers:
            if isinstance(layer, keras.layers.Normalization) and layer.weights:
                # as the files have it: standard deviations (tensorflow/tensorflow#49930)
                mean, variance = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
                layer.set_weights([np.float32(mean), np.float32(variance), np.int64(0)])
        (file,) = asked
        return net, file

    return make


def expected(name: str, alpha: float, side: int) -> tuple[str, str, str]:
    row = KERAS_FILES[name]
    url = row.address(alpha, side)
    return row.cached_as or url.rsplit("/", 1)[-1], url, row.digest(alpha)


def preprocessed(name: str, pixels: np.ndarray) -> np.ndarray:
    """Pixels as Keras' documentation wants them for a net."""
    module = sys.modules[getattr(keras.applications, name).__module__]
    return module.preprocess_input(pixels.copy())


def normalised(net, given: np.ndarray) -> np.ndarray:
    """What a net of Keras' makes of pixels before its first convolution."""
    kinds = ("InputLayer", "Rescaling", "Normalization", "TFOpLambda")
    *_, last = itertools.takewhile(lambda la: type(la).__name__ in kinds, net.layers)
    return keras.Model(net.input, last.output)(given).numpy()


@pytest.fixture
def shallow(monkeypatch):
    """Nets of Keras Applications without most of their layers: only their files matter."""

    def same(x, *_args, **_options):
        return x

    for name, net in convnext.MODEL_CONFIGS.items():
        less = {"depths": [0] * 4, "projection_dims": [8] * 4}
        monkeypatch.setitem(convnext.MODEL_CONFIGS, name, net | less)
    monkeypatch.setattr(regnet, "Stage", lambda *args, **options: same)
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", [])
    rows_of = efficientnet_v2.DEFAULT_BLOCKS_ARGS.items()
    v2 = {net: [rows[0] | {"num_repeat": 1}] for net, rows in rows_of}
    monkeypatch.setattr(efficientnet_v2, "DEFAULT_BLOCKS_ARGS", v2)
    rs = {depth: [rows[0] | {"num_repeats": 1}] for depth, rows in resnet_rs.BLOCK_ARGS.items()}
    monkeypatch.setattr(resnet_rs, "BLOCK_ARGS", rs)
    for module, names in (
        (resnet, ("stack1", "stack2")),
        (densenet, ("dense_block",)),
        (inception_resnet_v2, ("inception_resnet_block",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, same)
    for name in ("_normal_a_cell", "_reduction_a_cell"):
        monkeypatch.setattr(nasnet, name, lambda ip, p, *args, **options: (ip, ip))


def test_every_net_is_fetched_and_fed_as_keras_does_it(imagenet_net, shallow):
    left = [n for n in KERAS_FILES if n not in SIDES or len(KERAS_FILES[n].alphas) > 1]
    assert len(left) > 50
    for name in left:
        alphas = BACKBONES[name].alphas
        for alpha in alphas if len(alphas) == 2 else alphas[:1]:
            side = KERAS_FILES[name].sizes[0]
            options = {"alpha": alpha} if len(alphas) > 1 else {}
            net, file = imagenet_net(name, side, **options)
            assert file == expected(name, alpha, side)
        (mean, std), order = BACKBONES[name].norm, -1 if BACKBONES[name].bgr else 1
        pixels = np.random.default_rng(1).uniform(0, 255, (1, *net.input_shape[1:3], 3))
        want = ((pixels - mean) / std)[..., ::order]
        got = normalised(net, preprocessed(name, pixels.astype(np.float32)))
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()  # float32


@pytest.fixture
def served(tmp_path):
    """A folder, and its address on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def staged(name: str, side: int, folder) -> tuple[backbone.Weights, tuple, tuple]:
    """What stage ``backbone`` writes: weights, mean and std."""
    out = folder / "out"
    out.mkdir()
    pipeline = pipeline_of(
        name="t",
        data=Data(path="x", image_size=side),
        backbone=Backbone(name=name, weights="imagenet"),
    )
    rest = {}, out, folder / "cache", folder, tiny.Notes()
    stage.run(context_of(row("backbone"), pipeline, *rest))
    facts = json.loads((out / "base.json").read_text())
    assert facts["weights"]["licence"] == KERAS_FILES[name].licence
    return network.load_weights(out / "base.npz"), facts["mean"], facts["std"]


@pytest.mark.parametrize("name", SIDES)
def test_weights_of_keras_say_here_what_they_say_in_keras(
    name, imagenet_net, served, tmp_path, monkeypatch
):
    """From raw pixels, through Keras' own preprocessing, to the same features."""
    fresh(1)
    side = SIDES[name]
    net, file = imagenet_net(name, side)
    assert file == expected(name, 1.0, side)
    pixels = np.stack([tiny.image(n % 3, n, side) for n in range(6)]).astype(np.float32)
    given = preprocessed(name, pixels)
    tiny.lively(net, given)
    want = net(given, training=False).numpy().mean((1, 2))

    folder, address = served
    net.save_weights(folder / "w.h5")
    digest = hashlib.sha256((folder / "w.h5").read_bytes()).hexdigest()
    row = replace(KERAS_FILES[name], url=f"{address}/w.h5", digests=(digest,), alphas=((1.0, ""),))
    monkeypatch.setitem(KERAS_FILES, name, row)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    if name in STAGED:
        # built once: what it is rewritten from has the same layers with any weights
        original = functools.cache(backbone.as_keras_has_it)
        monkeypatch.setattr(backbone, "as_keras_has_it", original)
        weights, mean, std = staged(name, side, tmp_path)
    else:
        # built no more: the very net, emptied, is what the file is put into
        keras.backend.batch_set_value([(v, np.zeros(v.shape)) for v in net.weights])
        monkeypatch.setattr(backbone, "as_keras_has_it", lambda *which: net)
        found = imagenet.load(name, 1.0, side, tmp_path / "cache", tiny.Notes())
        weights, (mean, std) = found.weights, found.norm
    assert (tuple(mean), tuple(std)) == BACKBONES[name].norm
    spec = network.Spec(name, 1.0, side, mean, std, 2)
    if BACKBONES[name].bgr and name not in STAGED:  # as source.load does it
        first = f"{spec.first_kernel}/kernel"
        weights[first] = weights[first][:, :, ::-1]
    model = network.build(spec)
    backbone.assign(model, network.fold(spec, weights), skip=(network.HEAD,))
    features = keras.Model(model.input, model.get_layer(network.POOL).output)
    got = features(pixels, training=False).numpy()
    # float32 sums in another order, through up to 400 layers
    assert np.abs(got - want).max() <= 2e-3 * np.abs(want).max()
    assert want.std() > 1e-3 * np.abs(want).max() > 0
    if BACKBONES[name].rewritten:
        kinds = {type(layer).__name__ for layer in model.layers}
        assert not kinds & {"TFOpLambda", "Dropout", "SeparableConv2D", "LayerScale", "Sequential"}
    assert not any("/" in layer.name for layer in model.layers)
