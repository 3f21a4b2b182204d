"""What a user's machine has configured for TensorFlow and Keras changes nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A net that trains for two steps: how it is built, computes and rounds is in its bytes.
TRAINS = """
import hashlib
import numpy as np
from tfedge.modeling.nets.env import fresh, keras, tf
fresh(3)
rng = np.random.default_rng(1)
given = keras.Input((16, 16, 3))
norm = keras.layers.BatchNormalization()(keras.layers.Conv2D(24, 3)(given))
flat = keras.layers.Flatten()(keras.layers.SeparableConv2D(8, 3, activation="relu")(norm))
net = keras.Model(given, keras.layers.Dense(5)(flat))
net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
net.fit(rng.normal(size=(32, 16, 16, 3)), rng.integers(0, 5, 32), epochs=2, verbose=0)
weights = [weight.numpy() for weight in net.weights]
assert {weight.dtype.name for weight in weights} == {"float32"}
print(hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest())
"""

HOSTILE = {
    "TF_USE_LEGACY_KERAS": "0",
    "KERAS_BACKEND": "torch",
    "TF2_BEHAVIOR": "0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--no_such_flag=1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_DETERMINISTIC_OPS": "0",
    "TF_ENABLE_AUTO_MIXED_PRECISION": "1",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "CUDA_VISIBLE_DEVICES": "0",
}
KERAS_JSON = {"floatx": "float16", "epsilon": 0.5, "image_data_format": "channels_first"}


def trained(home: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRAINS],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(home)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    home = tmp_path_factory.mktemp("plain")
    digest = trained(home)
    assert list(home.iterdir()) == []  # nothing is configured for others, either
    return digest


def test_variables_of_the_environment_change_nothing(plain, tmp_path):
    assert trained(tmp_path, **HOSTILE) == plain


@pytest.mark.parametrize("content", [json.dumps(KERAS_JSON), '{"floatx": "float8"}', "{"])
def test_keras_own_configuration_changes_nothing(plain, tmp_path, content):
    for folder in (tmp_path / ".keras", tmp_path / "other"):
        folder.mkdir()
        (folder / "keras.json").write_text(content)
    assert trained(tmp_path, KERAS_HOME=str(tmp_path / "other")) == plain
    for folder in (tmp_path / ".keras", tmp_path / "other"):
        assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("keras.json", content)]


def test_what_a_notebook_has_told_keras_is_not_what_a_stage_begins_with():
    from tfedge.modeling.nets.env import fresh, keras

    keras.backend.set_floatx("float16")
    keras.backend.set_epsilon(0.1)
    keras.backend.set_image_data_format("channels_first")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    fresh(1)
    assert (keras.backend.floatx(), keras.backend.epsilon()) == ("float32", 1e-7)
    assert keras.backend.image_data_format() == "channels_last"
    assert keras.layers.Dense(1).dtype_policy.name == "float32"


COLLECTED = """
import gc
from tfedge import cli

def main():
    from tfedge.modeling.nets.env import tf
    return 0 if gc.get_freeze_count() {expected} else 1

cli.main = main
{how}
"""


@pytest.mark.parametrize(
    ("how", "expected"), [("cli.process()", "> 100_000"), ("raise SystemExit(cli.main())", "== 0")]
)
def test_only_a_command_s_process_keeps_what_it_has_from_the_collector(how, expected):
    """What a notebook had before it called tfedge must go away one day."""
    program = COLLECTED.format(how=how, expected=expected)
    ran = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode == 0
