"""The catalogue: what it says of each net, and that it says it without TensorFlow."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tfedge.catalog.backbones import BACKBONES, layers, net
from tfedge.catalog.keras_files import KERAS_FILES
from tfedge.catalog.weights import WHEELS

NETS = [(row.name, alpha) for row in BACKBONES.values() for alpha in row.alphas]


def names(backbone):
    return [block.name for block in layers(backbone)]


def test_blocks_have_the_names_that_the_documentation_gives():
    assert names("MobileNet") == ["stem", *(f"block_{i}" for i in range(1, 14))]
    assert names("MobileNetV2") == ["stem", *(f"block_{i}" for i in range(1, 17)), "top"]
    assert names("VGG16") == [f"block{i}" for i in range(1, 6)]
    assert names("ResNet50")[:3] == ["stem", "conv2_block1", "conv2_block2"]
    assert names("ResNet50")[-1] == "conv5_block3" and len(names("ResNet50")) == 17
    lite = ["stem", "block1a", "block2a", "block2b", "block3a", "block3b"]
    assert names("EfficientNetLite0")[:6] == lite
    assert [len(names(f"EfficientNetLite{i}")) for i in range(5)] == [18, 23, 23, 26, 32]


def test_mobilenet_v2_is_cut_behind_its_additions():
    outputs = {block.name: block.output for block in layers("MobileNetV2")}
    assert outputs["stem"] == "expanded_conv_project_BN"
    assert outputs["block_1"] == "block_1_project_BN" and outputs["block_12"] == "block_12_add"
    assert outputs["top"] == "out_relu"


@pytest.mark.parametrize(("name", "alpha"), NETS)
def test_every_net_is_complete(name, alpha):
    blocks = layers(name, alpha)
    kernels = [kernel for block in blocks for kernel in block.kernels]
    assert all(block.kernels for block in blocks)
    assert [k.kind for k in kernels].count("first") == 1 and kernels[0].kind == "first"
    assert {k.kind for k in kernels} <= {"first", "conv", "depthwise", "scale"}
    assert len({k.layer for k in kernels}) == len(kernels)
    assert len({block.output for block in blocks}) == len({b.name for b in blocks}) == len(blocks)
    for kernel in kernels:
        height, width, inputs, outputs = kernel.shape
        assert kernel.size == height * width * inputs * outputs
        assert (kernel.kind in ("depthwise", "scale")) <= (outputs == 1)
        assert (kernel.kind == "scale") == ((height, width, outputs) == (1, 1, 1))


def test_sizes_are_the_published_ones():
    totals = {
        name: sum(k.size for b in layers(name) for k in b.kernels)
        for name in ("MobileNetV2", "ResNet50", "VGG16")
    }
    assert totals == {"MobileNetV2": 2_189_760, "ResNet50": 23_454_912, "VGG16": 14_710_464}


def test_what_the_papers_say() -> None:
    """Parameters without top, MACs at the native size; within 5 %: papers count the head, too."""
    published = {  # parameters less those of the 1000-class head, MACs
        "MobileNetV2": (2.2e6, 300e6),  # Sandler et al. 2018
        "MobileNetV3Small": (0.93e6, 56e6),  # Howard et al. 2019, less its head
        "EfficientNetB0": (4.0e6, 390e6),  # Tan and Le 2019
        "ResNet50": (23.5e6, 3.87e9),  # He et al. 2015
        "DenseNet121": (7.0e6, 2.87e9),  # Huang et al. 2017
        "RegNetX002": (2.3e6, 200e6),  # Radosavovic et al. 2020
        "ConvNeXtTiny": (27.8e6, 4.5e9),  # Liu et al. 2022
    }
    for name, (parameters, macs) in published.items():
        found = net(name)
        assert found.parameters == pytest.approx(parameters, rel=0.05), name
        assert found.macs == pytest.approx(macs, rel=0.05), name


def test_efficientnet_lite_has_the_published_parameters() -> None:
    """With the 1000-class head of 1280 features, as Google's release of 2020 states them."""
    for number, published in enumerate((4.7, 5.4, 6.1, 8.2, 13.0)):
        found = net(f"EfficientNetLite{number}")
        kernels = sum(kernel.size for block in found.blocks for kernel in block.kernels)
        # Half of what is no kernel are the statistics of batch norm, which don't count.
        learned = kernels + (found.parameters - kernels) // 2 + 1280 * 1000 + 1000
        assert round(learned / 1e6, 1) == published, number


@pytest.mark.train
def test_every_constructor_of_keras_is_there() -> None:
    source = Path(str(find_spec("tf_keras").submodule_search_locations[0]))
    text = (source / "api/_v2/keras/applications/__init__.py").read_text("utf-8")
    names = set(re.findall(r"import ([A-Z]\w+)", text))
    assert len(names) > 60 and names <= set(BACKBONES)


def test_weights_that_a_row_offers_exist():
    for row in BACKBONES.values():
        wheels = tuple(alpha for name, alpha in WHEELS if name == row.name)
        assert row.wheel_alphas == wheels and ("wheel" in row.weights) == bool(wheels)
        assert (row.wheel_size is None) == (not wheels)
        assert ("imagenet" in row.weights) == (row.name in KERAS_FILES)
        if row.name in KERAS_FILES:
            assert tuple(a for a, _ in KERAS_FILES[row.name].alphas) == row.alphas
    assert {name for name, _ in WHEELS} | set(KERAS_FILES) <= set(BACKBONES)


def test_wheels_are_pinned():
    for row in WHEELS.values():
        assert re.fullmatch(r"[0-9a-f]{64}", row.sha256) and row.licence
        assert row.exact(BACKBONES[row.backbone].wheel_size)


def test_exact_sizes_of_mobilenet_v2_are_32k_plus_1():
    row = WHEELS["MobileNetV2", 1.0]
    assert [s for s in range(32, 230) if row.exact(s)] == [33, 65, 97, 129, 161, 193, 225]
    assert [row.nearest_exact(s) for s in (32, 96, 97, 113, 112, 224, 240, 241)] == [
        33,
        97,
        97,
        129,
        97,
        225,
        225,
        257,
    ]
    assert WHEELS["EfficientNetLite0", 1.0].nearest_exact(200) == 200


def test_keras_files_are_those_keras_picks():
    row = KERAS_FILES["MobileNetV2"]
    assert row.address(0.35, 96).endswith("_kernels_0.35_96_no_top.h5")
    assert row.address(1.0, 225).endswith("_kernels_1.0_224_no_top.h5")
    assert KERAS_FILES["MobileNet"].address(0.5, 128).endswith("/mobilenet_5_0_128_tf_no_top.h5")
    assert KERAS_FILES["MobileNet"].address(1.0, 96).endswith("/mobilenet_1_0_224_tf_no_top.h5")


def test_the_catalogue_needs_neither_tensorflow_nor_numpy():
    code = (
        "import sys; from tfedge.catalog.weights import WHEELS;"
        "from tfedge.catalog.backbones import layers; layers('MobileNetV2');"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'tensorflow', 'keras', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
