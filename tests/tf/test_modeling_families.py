"""Pruning the rewritten nets: every kernel that is named loses weights, and no other does."""

from __future__ import annotations

import numpy as np
import pytest

from tfedge.catalog.backbones import BACKBONES
from tfedge.modeling.compression.allocation import allocate
from tfedge.modeling.compression.sparsity import Pruner
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import weights_of
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.network import Spec
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.unfreeze import MAX_SHARE, prunable

SIZE = 32
NETS = ("MobileNetV3Small", "RegNetX002")  # others have no other layers, and take far longer


@pytest.mark.parametrize("name", NETS)
def test_what_is_named_is_pruned_and_nothing_else(name):
    fresh(1)
    spec = Spec(name, 1.0, SIZE, (0.0,) * 3, (1.0,) * 3, 3)
    model = network.build(spec)
    rng = np.random.default_rng(1)
    for layer in model.layers:  # initial values of LayerScale and norms are all alike, some zero
        layer.set_weights([rng.uniform(0.01, 1, w.shape) for w in layer.get_weights()])
    before = weights_of(model)
    prune = Prune(also=("depthwise",), pruning_schedule="constant", allocation="uniform")
    chosen = prunable(prune, spec.blocks)
    keys = {
        k.layer: f"{k.layer}/{'depthwise_kernel' if k.kind == 'depthwise' else 'kernel'}"
        for k in chosen
    }
    kernels = {layer: before[key] for layer, key in keys.items()}
    total = sum(kernel.size for kernel in kernels.values())
    counts = allocate(prune, kernels, total // 2, MAX_SHARE)
    pruner = Pruner(model, counts, prune, 1)
    masks = [la for la in pruner.model.layers if hasattr(la, "pruning_vars")]
    assert {la.layer.name for la in masks} == set(keys)
    pruner.before_step(0)
    pruner.model(np.ones((1, SIZE, SIZE, 3), np.float32), training=True)
    assert pruner.finish() == counts
    after = weights_of(model)
    for layer, key in keys.items():
        assert np.count_nonzero(after[key] == 0) == counts[layer], layer
    norms = {la.name for la in model.layers if isinstance(la, keras.layers.BatchNormalization)}
    for key in before.keys() - set(keys.values()):
        if key.split("/")[0] not in norms:  # they took statistics in that one step
            np.testing.assert_array_equal(after[key], before[key], err_msg=key)
    assert BACKBONES[name].rewritten
