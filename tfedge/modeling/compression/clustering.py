"""Weight clustering with TF-MOT: kernels of few distinct values, that 8-bit kernels can keep.

TF-MOT's wrapper holds the values (*centroids*) of a kernel as variables and trains them; each
weight takes the nearest. Before it trains, k-means runs to its end here (Lloyd 1982): TF-MOT takes
centroids from a rule, such as the seeds of k-means++, and leaves the rest to training, and a short
fine-tune moves them too little. The centroids are shared by all channels of a kernel; one set for
each channel (``cluster_per_channel``) would leave a kernel as many distinct bytes as if it had not
been clustered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from tfedge.errors import InvariantBroken
from tfedge.modeling.compression.tfmot import clustering_algorithm, experimental_clustering, tfmot
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of
from tfedge.pipeline.schema import Cluster

_INIT = {
    "kmeans++": tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
    "linear": tfmot.clustering.keras.CentroidInitialization.LINEAR,
    "density": tfmot.clustering.keras.CentroidInitialization.DENSITY_BASED,
}
_ROUNDS = 300  # of k-means; it ends much earlier, where nothing moves any more


def _nearest(algorithm: Any, weight: Any, centroids: Any = None) -> Any:
    """int64 index of the centroid nearest to each weight, by the borders between centroids.

    TF-MOT compares every weight with every centroid, in each step: for 256 of them gigabytes.
    """
    values = algorithm.cluster_centroids if centroids is None else centroids
    order = tf.argsort(values, stable=True)
    ranked = tf.gather(values, order)
    borders = (ranked[1:] + ranked[:-1]) / 2
    found = tf.searchsorted(borders, tf.reshape(weight, [-1]))
    return tf.cast(tf.reshape(tf.gather(order, found), tf.shape(weight)), tf.int64)


clustering_algorithm.ClusteringAlgorithm.get_pulling_indices = _nearest


def kmeans(weights: np.ndarray, start: np.ndarray, fixed: int | None = None) -> np.ndarray:
    """Centroids float32 [K] in the order of ``start``, each the mean of the weights nearest to it.

    ``fixed``: the index of one that stays where it is. One that no weight is nearest to stays too.
    """
    ranked = np.sort(weights.ravel().astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ranked)])
    order = np.argsort(start, kind="stable")
    values = start[order].astype(np.float64)
    for _ in range(_ROUNDS):
        borders = np.searchsorted(ranked, (values[1:] + values[:-1]) / 2)
        ends = np.concatenate([[0], borders, [len(ranked)]])
        counts = np.diff(ends)
        means = np.diff(sums[ends]) / np.maximum(counts, 1)
        moved = np.where((counts > 0) & (order != fixed), means, values)
        if np.array_equal(moved, values):
            break
        values = moved
    found = np.empty(len(start), np.float32)
    found[order] = values
    return found


class Clusterer:
    """A model with TF-MOT's clustering wrappers round the layers named, zeros kept where there are.

    ``model`` shares its layers with the one given; until ``finish`` those in ``layers`` have no
    kernels of their own. Kernels that are not larger than that are left as they are.
    """

    def __init__(self, model: Any, layers: Collection[str], cluster: Cluster) -> None:
        self._clusters = cluster.clusters
        self._zeros: dict[str, np.ndarray] = {}

        def wrap(layer: Any) -> Any:
            kernel = kernel_of(layer).numpy() if layer.name in layers else np.empty(0)
            if kernel.size <= cluster.clusters:
                return layer
            zeros = kernel == 0
            self._zeros[layer.name] = zeros
            # Of fewer weights than centroids k-means++ can't choose.
            few = np.count_nonzero(~zeros) < cluster.clusters
            wrapper = experimental_clustering.cluster_weights(
                layer,
                cluster.clusters,
                _INIT["linear" if few else cluster.init],
                preserve_sparsity=bool(zeros.any()),
            )
            if hasattr(layer, "depthwise_kernel"):
                # TF-MOT's registry knows the layer with nothing in it to cluster.
                kernels = [("depthwise_kernel", layer.depthwise_kernel)]
                layer.get_clusterable_weights = lambda: kernels
            return wrapper

        self.model = keras.models.clone_model(model, clone_function=wrap)
        self._wrappers = [la for la in self.model.layers if hasattr(la, "cluster_centroids")]
        self.layers = [wrapper.layer.name for wrapper in self._wrappers]
        for wrapper in self._wrappers:
            _refine_centroids(wrapper)

    def finish(self) -> None:
        """Give the layers their kernels back, clustered.

        Raises InvariantBroken if one has more values than it may, or a zero of pruning is gone.
        """
        for wrapper in self._wrappers:
            wrapper.update_clustered_weights_associations()
            ((name, variable),) = wrapper.original_clusterable_weights.items()
            kernel = getattr(wrapper.layer, name).numpy()
            setattr(wrapper.layer, name, variable)
            variable.assign(kernel)
            layer = wrapper.layer.name
            if (found := len(np.unique(kernel))) > self._clusters:
                raise InvariantBroken(f"values in {layer}", f"at most {self._clusters}", f"{found}")
            if lost := int(np.count_nonzero(kernel[self._zeros[layer]])):
                raise InvariantBroken(f"zeros of pruning in {layer}", "none lost", f"{lost:,} lost")


def _refine_centroids(wrapper: Any) -> None:
    """Run k-means from the wrapper's own centroids; the one of pruning's zeros stays zero."""
    ((name, centroids),) = wrapper.cluster_centroids.items()
    original = wrapper.original_clusterable_weights[name]
    zero = int(wrapper.zero_idx[name]) if wrapper.preserve_sparsity else None
    centroids.assign(kmeans(original.numpy(), centroids.numpy(), zero))
    found = wrapper.clustering_algorithms[name].get_pulling_indices(original)
    wrapper.pulling_indices[name].assign(found)
    if wrapper.preserve_sparsity:
        wrapper.sparsity_masks[name] = tf.cast(tf.gather(centroids, found) != 0, original.dtype)
