"""Weights from a user's file: every layout Keras writes, and files that are something else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tfedge.errors import ArtifactError
from tfedge.files.budget import WEIGHTS
from tfedge.modeling.nets.weights import files, hdf5

SHAPES = {
    "Conv1/kernel": (3, 3, 3, 4),
    "bn/gamma": (4,),
    "bn/beta": (4,),
    "bn/moving_mean": (4,),
    "bn/moving_variance": (4,),
    "dw/depthwise_kernel": (3, 3, 4, 1),
}
NET = {
    key: np.random.default_rng(i).random(shape, np.float32)
    for i, (key, shape) in enumerate(SHAPES.items())
}
HEAD = {"predictions/kernel": np.ones((4, 2), np.float32), "predictions/bias": np.ones(2)}


def hdf(arrays):
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return data.getvalue()


def classic(prefix="", suffix=":0"):
    return {f"{prefix}{k.split('/')[0]}/{k}{suffix}": v for k, v in {**NET, **HEAD}.items()}


# Keras' newer layout: layers counted by class, weights by position.
COUNTED = {
    "layers/conv2d/vars/0": "Conv1/kernel",
    "layers/batch_normalization/vars/0": "bn/gamma",
    "layers/batch_normalization/vars/1": "bn/beta",
    "layers/batch_normalization/vars/2": "bn/moving_mean",
    "layers/batch_normalization/vars/3": "bn/moving_variance",
    "layers/depthwise_conv2d/vars/0": "dw/depthwise_kernel",
}


def counted(inner=""):
    arrays = {inner + path: NET[key] for path, key in COUNTED.items()}
    return arrays | {"layers/dense/vars/0": np.ones((4, 2)), "optimizer/vars/0": np.ones(1)}


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


BASE_LAYERS = [
    layer("InputLayer", "input"),
    layer("Conv2D", "Conv1"),
    layer("BatchNormalization", "bn"),
    layer("DepthwiseConv2D", "dw"),
]
FLAT = {"config": {"name": "m", "layers": [*BASE_LAYERS, layer("Dense", "predictions")]}}
NESTED = {
    "config": {
        "layers": [
            layer("InputLayer", "i"),
            layer("Functional", "mobilenet", layers=BASE_LAYERS),
            layer("Dense", "predictions"),
        ]
    }
}


def keras(weights, config=FLAT):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return data.getvalue()


def named():
    """The newer layout as Keras 3 writes it, each layer's name beside it."""
    data = io.BytesIO(hdf(counted()))
    with h5py.File(data, "r+") as file:
        for path, key in COUNTED.items():
            file[path].parent.attrs["name"] = key.split("/")[0]
        file["layers/dense/vars"].attrs["name"] = "predictions"
    return data.getvalue()


def npz(arrays):
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def keras3(suffix=""):
    """Keras 3 calls a depthwise kernel just kernel."""
    arrays = classic("model_weights/", suffix)
    arrays["model_weights/dw/dw/kernel"] = arrays.pop("model_weights/dw/dw/depthwise_kernel")
    return arrays


LAYOUTS = {
    "keras 2 weights.h5": hdf(classic()),
    "keras 2 model.h5": hdf(classic("model_weights/") | {"optimizer_weights/x/y:0": np.ones(1)}),
    "keras 3 model.h5": hdf(keras3()),
    "nested.h5": hdf({f"mobilenet/{k}:0": v for k, v in NET.items()} | {"d/predictions/b": [1.0]}),
    "keras 3.weights.h5": named(),
    "keras 2.keras": keras(hdf(counted())),
    "keras 3.keras": keras(named(), {"config": {}}),
    "nested.keras": keras(hdf(counted("layers/functional/")), NESTED),
    "ours.npz": npz({**NET, **HEAD}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_arrays(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(LAYOUTS[name])
    found, digest = files.read(path)
    weights, ignored = files.select(found, SHAPES)
    assert ignored == ["predictions"]
    checked = files.check(str(path), weights, SHAPES)
    assert list(checked) == list(SHAPES)
    for key, array in NET.items():
        np.testing.assert_array_equal(checked[key], array)
        assert checked[key].dtype == np.float32
    assert digest == hashlib.sha256(LAYOUTS[name]).hexdigest()


def test_names_of_keras_1_are_understood(tmp_path):
    path = tmp_path / "vgg.h5"
    path.write_bytes(hdf({"c1/c1_W_1:0": np.ones((1, 1, 3, 2)), "c1/c1_b_1:0": np.zeros(2)}))
    assert sorted(files.read(path)[0]) == ["c1/bias", "c1/kernel"]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def with_object(path):
    data = io.BytesIO()
    np.savez(data, **{"Conv1/kernel": np.array([Evil(path)], dtype=object)}, allow_pickle=True)
    return data.getvalue()


LAMBDA = {"class_name": "Lambda", "config": {"name": "l", "function": ["evil", None, None]}}


@pytest.mark.parametrize("name", ["w.h5", "w.keras", "w.npz"])
def test_a_pickle_under_another_name_is_refused_and_not_run(tmp_path, name):
    trace, path = tmp_path / "ran", tmp_path / name
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(ArtifactError, match="nothing of it was run") as caught:
        files.read(path)
    assert str(path) in caught.value.message and caught.value.exit_code == 7
    assert not trace.exists()


def test_an_npz_with_a_pickle_inside_is_refused_and_not_run(tmp_path):
    trace, path = tmp_path / "ran", tmp_path / "w.npz"
    path.write_bytes(with_object(trace))
    with pytest.raises(ArtifactError, match="nothing of it was run"):
        files.read(path)
    assert not trace.exists()


def test_lambda_code_in_a_keras_file_is_not_looked_at(tmp_path):
    path = tmp_path / "w.keras"
    config = {"config": {"layers": [*BASE_LAYERS, LAMBDA, layer("Dense", "predictions")]}}
    path.write_bytes(keras(hdf(counted()), config))
    assert files.select(files.read(path)[0], SHAPES)[0].keys() == SHAPES.keys()


def test_an_hdf5_file_can_not_pull_in_another_file(tmp_path):
    secret = tmp_path / "secret.h5"
    secret.write_bytes(hdf({"bn/gamma": np.full(4, 42.0)}))
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["bn/bn/gamma:0"] = h5py.ExternalLink(str(secret), "bn/gamma")
        file["bn/bn/beta:0"] = np.zeros(4)
    assert list(files.read(path)[0]) == ["bn/beta"]
    raw = tmp_path / "raw"
    raw.write_bytes(b"x" * 16)
    with h5py.File(path, "w") as file:
        file.create_dataset("bn/bn/gamma:0", (4,), "f4", external=[(str(raw), 0, 16)])
    with pytest.raises(ArtifactError, match="refers to another file"):
        files.read(path)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("w.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "damaged HDF5"),
        ("w.h5", LAYOUTS["keras 2 weights.h5"][:3000], "damaged HDF5"),
        ("w.h5", hdf(counted()), "has no name in this file"),
        ("w.h5", hdf({"a/c/k:0": [1.0], "b/c/k:0": [1.0]}), "holds c/k twice"),
        ("w.keras", LAYOUTS["keras 2.keras"][:500], "no zip, or a damaged one"),
        ("w.keras", LAYOUTS["ours.npz"], r"holds no config\.json"),
        ("w.keras", keras(b"no hdf5"), "damaged HDF5"),
        ("w.keras", keras(hdf(counted()), {"config": {"layers": [1]}}), "damaged .keras"),
        ("w.keras", keras(hdf(counted()), []), "damaged .keras"),
        ("w.npz", LAYOUTS["ours.npz"][:-300], "no zip, or a damaged one"),
        ("w.npz", LAYOUTS["keras 2.keras"], "no arrays alone"),
        ("w.pt", b"", "no format of weights"),
        ("imagnet", b"", "no format of weights"),
    ],
)
def test_damaged_and_other_files_are_refused(tmp_path, name, data, why):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=why) as caught:
        files.read(path)
    assert str(path) in caught.value.message


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(ArtifactError, match="No such file"):
        files.read(tmp_path / "w.h5")


def test_a_small_file_can_not_fill_the_memory(tmp_path, monkeypatch):
    little = replace(WEIGHTS, size=1 << 20)
    for module in (hdf5, files):
        monkeypatch.setattr(module, "WEIGHTS", little)
    zeros = np.zeros(1 << 20, np.float32)
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/a/k:0", data=zeros, compression="gzip")
    assert path.stat().st_size < 1 << 18
    with pytest.raises(ArtifactError, match="more than"):
        files.read(path)
    path = tmp_path / "w.npz"
    np.savez_compressed(path, a=zeros)
    with pytest.raises(ArtifactError, match="more than"):
        files.read(path)
    path = tmp_path / "w.keras"
    path.write_bytes(keras(bytes(1 << 21)))
    with pytest.raises(ArtifactError, match="more than"):
        files.read(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bn/gamma": None}, r"bn/gamma: expected \(4,\), got nothing"),
        ({"bn/gamma": np.ones(5)}, r"bn/gamma: expected \(4,\), got \(5,\)"),
        ({"bn/delta": np.ones(4)}, "bn/delta: no such weight"),
        ({"bn/gamma": np.ones(4, np.int32)}, "bn/gamma: expected float numbers, got int32"),
        ({"bn/gamma": np.array([1, 2, np.nan, 4])}, "bn/gamma: .* not finite"),
        ({"bn/beta": np.array([1, 2, np.inf, 4])}, "bn/beta: .* not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, why):
    weights = {k: v for k, v in {**NET, **change}.items() if v is not None}
    with pytest.raises(ArtifactError, match=why) as caught:
        files.check("w.h5", weights, SHAPES)
    assert "backbone.alpha" in caught.value.hint


def test_of_many_wrong_layers_some_are_named():
    with pytest.raises(ArtifactError, match="and 3 more"):
        files.check("w.h5", {}, SHAPES)


@pytest.mark.parametrize("name", ["keras 2 model.h5", "keras 2.keras", "ours.npz"])
def test_damaged_bytes_never_end_in_a_traceback(tmp_path, name, monkeypatch):
    monkeypatch.setattr(hdf5, "_try_apart", lambda *_: None)  # a process for each takes minutes
    rng = random.Random(1)
    path = tmp_path / name
    refused = 0
    for _ in range(150):
        data = bytearray(LAYOUTS[name])
        for _ in range(3):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            files.check(str(path), files.select(files.read(path)[0], SHAPES)[0], SHAPES)
        except ArtifactError:
            refused += 1
    assert refused
