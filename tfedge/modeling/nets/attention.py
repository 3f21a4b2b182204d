"""Layers of a text encoder, each of them one op of the device or a few, for 8-bit training.

Tensors of pieces are [B, 1, S, H]: a dense layer on them is a 1×1 convolution with a scale for each
unit, and layer normalisation a depthwise one with a scale for each number.
"""

from __future__ import annotations

from typing import Any

from tfedge.modeling.nets.env import keras, tf

PADDING = -16.0  # is added to the scores of padding: its share of attention is below 1e-6
NEVER = -10_000.0  # the same in float: no share at all, whatever the scores are


@keras.utils.register_keras_serializable("tfedge")
class PieceIds(keras.layers.Layer):
    """The ids [B, S] int32 of packed inputs [B, 2, S]."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(inputs[:, 0], tf.int32)


@keras.utils.register_keras_serializable("tfedge")
class PaddingMask(keras.layers.Layer):
    """0 for a piece and ``low`` for padding, [B, 1, 1, S], of packed inputs [B, 2, S].

    Looked up in a table: in 8 bits that is a GATHER, and there is no cast from the integers.
    """

    def __init__(self, low: float = PADDING, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = low

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low}

    def call(self, inputs: Any) -> Any:
        return self.looked_up(inputs, tf.constant([self.low, 0.0]))

    def looked_up(self, inputs: Any, table: Any) -> Any:
        mask = tf.cast(inputs[:, 1], tf.int32)
        return tf.gather(table, mask)[:, None, None]


@keras.utils.register_keras_serializable("tfedge")
class WordTable(keras.layers.Layer):
    """The embedding [B, 1, S, H] of each id [B, S]."""

    kept_in_float = False  # while it trains for 8 bits

    def __init__(self, pieces: int, hidden: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pieces, self.hidden = pieces, hidden

    def build(self, shape: Any) -> None:
        self.table = self.add_weight("table", (self.pieces, self.hidden))
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return self.looked_up(inputs, self.table)

    def looked_up(self, inputs: Any, table: Any) -> Any:
        found = tf.gather(table, inputs)
        return tf.reshape(found, (-1, 1, inputs.shape[1], self.hidden))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pieces": self.pieces, "hidden": self.hidden}


@keras.utils.register_keras_serializable("tfedge")
class Trigrams(keras.layers.Layer):
    """Each piece [B, 1, S, H] between the next one and the one before it: [B, 1, S, 3 H]."""

    def call(self, inputs: Any) -> Any:
        around = tf.pad(inputs, ((0, 0), (0, 0), (1, 1), (0, 0)))
        return tf.concat([around[:, :, 2:], inputs, around[:, :, :-2]], 3)


@keras.utils.register_keras_serializable("tfedge")
class RepeatedPieces(keras.layers.Layer):
    """The ids [B, S - 2] int32 between the two marks of packed texts [B, 2, S], from the first one
    again behind the last. A text of nothing but its marks gives the second of them."""

    def call(self, inputs: Any) -> Any:
        ids, mask = (tf.cast(inputs[:, part], tf.int32) for part in (0, 1))
        inner = tf.maximum(tf.reduce_sum(mask, 1, keepdims=True) - 2, 1)
        places = tf.range(inputs.shape[2] - 2) % inner + 1  # at most S - 2, whatever the mask
        return tf.gather(ids, places, batch_dims=1)


@keras.utils.register_keras_serializable("tfedge")
class PieceMean(keras.layers.Layer):
    """The mean [B, H] of pieces [B, 1, S, H]."""

    def call(self, inputs: Any) -> Any:
        return tf.reduce_mean(inputs, (1, 2))


@keras.utils.register_keras_serializable("tfedge")
class Positions(keras.layers.Layer):
    """Adds to each piece [B, 1, S, H] what stands for its place."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight("table", (1, *shape[1:]))
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return inputs + self.table


@keras.utils.register_keras_serializable("tfedge")
class SumOfSquares(keras.layers.Layer):
    """The sum of squares of the numbers of each piece: [B, 1, S, H] to [B, 1, S, 1]."""

    def call(self, inputs: Any) -> Any:
        return tf.reduce_sum(tf.square(inputs), -1, keepdims=True)

    def as_product(self, inputs: Any) -> Any:
        """As a product of vectors: no tensor of squares, whose range 8 bits could not hold. In
        float XNNPACK takes ten times as long for it."""
        rows = tf.expand_dims(inputs, -2)
        return tf.squeeze(tf.matmul(rows, rows, transpose_b=True), -1)


def _heads(inputs: Any, heads: int) -> Any:
    """[B, 1, S, H] as [B, heads, S, H / heads]."""
    length, hidden = inputs.shape[2:]
    parts = tf.reshape(inputs, (-1, length, heads, hidden // heads))
    return tf.transpose(parts, (0, 2, 1, 3))


class _OfHeads(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.utils.register_keras_serializable("tfedge")
class AttentionScores(_OfHeads):
    """Of queries and keys [B, 1, S, H] how much each piece attends to each: [B, heads, S, S].

    (Vaswani et al. 2017; the factor 1 / √d stands in the queries' kernel.)
    """

    def call(self, inputs: Any) -> Any:
        queries, keys = (_heads(one, self.heads) for one in inputs)
        return tf.matmul(queries, keys, transpose_b=True)


@keras.utils.register_keras_serializable("tfedge")
class AttentionSum(_OfHeads):
    """Of shares [B, heads, S, S] and values [B, 1, S, H] the values' sums: [B, 1, S, H]."""

    def call(self, inputs: Any) -> Any:
        shares, values = inputs
        found = tf.transpose(tf.matmul(shares, _heads(values, self.heads)), (0, 2, 1, 3))
        return tf.reshape(found, (-1, 1, *values.shape[2:]))


@keras.utils.register_keras_serializable("tfedge")
class WeightedMean(keras.layers.Layer):
    """Of shares [B, 1, 1, S] that sum to 1 and pieces [B, 1, S, H] the mean [B, H]."""

    def call(self, inputs: Any) -> Any:
        shares, pieces = inputs
        return tf.reshape(tf.matmul(shares, pieces), (-1, pieces.shape[3]))


@keras.utils.register_keras_serializable("tfedge")
class FirstPiece(keras.layers.Layer):
    """The first of the pieces [B, 1, S, H]: [B, H]."""

    def call(self, inputs: Any) -> Any:
        return inputs[:, 0, 0]


@keras.utils.register_keras_serializable("tfedge")
class Gelu(keras.layers.Layer):
    """x · Φ(x) (Hendrycks and Gimpel 2016): one op, GELU. With the error function; or, which GPT-2
    was trained with, ``approximate``, by a hyperbolic tangent."""

    def __init__(self, approximate: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, inputs: Any) -> Any:
        return tf.nn.gelu(inputs, approximate=self.approximate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "approximate": self.approximate}


@keras.utils.register_keras_serializable("tfedge")
class Causal(keras.layers.Layer):
    """Adds to scores [B, heads, S, S] what leaves a piece no share of those behind it.

    So no piece sees padding, which comes last. In float: e^-10,000 is 0, whatever the scores are.
    """

    def call(self, inputs: Any) -> Any:
        later = 1 - tf.linalg.band_part(tf.ones(inputs.shape[2:]), -1, 0)
        return inputs + NEVER * later


@keras.utils.register_keras_serializable("tfedge")
class PieceShares(keras.layers.Layer):
    """How much of a text each of its pieces stands for, [B, 1, 1, S], of packed inputs [B, 2, S]:
    all as much, or the ``last`` one alone. In float, exactly; nothing of a text without any."""

    def __init__(self, last: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = last

    def call(self, inputs: Any) -> Any:
        mask = tf.cast(inputs[:, 1], tf.float32)[:, None, None]
        if self.last:  # which no other follows
            return mask - tf.concat([mask[..., 1:], tf.zeros_like(mask[..., :1])], -1)
        return mask / tf.maximum(tf.reduce_sum(mask, -1, keepdims=True), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "last": self.last}


@keras.utils.register_keras_serializable("tfedge")
class PiecesOf(keras.layers.Layer):
    """Of pieces with their mask [B, 1, S, H + 1] the pieces [B, 1, S, H]."""

    def call(self, inputs: Any) -> Any:
        return inputs[..., :-1]


@keras.utils.register_keras_serializable("tfedge")
class PaddingOf(keras.layers.Layer):
    """Of pieces with their mask [B, 1, S, H + 1] what ``PaddingMask`` gives, [B, 1, 1, S]."""

    def call(self, inputs: Any) -> Any:
        # Not PADDING * (1 - mask): the converter makes PADDING * (mask - 1) of it.
        return (tf.transpose(inputs[..., -1:], (0, 1, 3, 2)) - 1.0) * -PADDING


def above(model: Any, between: Any, padding: Any) -> Any:
    """The part of an encoder above the pieces ``between``, [B, 1, S, H]; its layers are called once
    more, and so shared.

    Every layer of an encoder reads the mask, too: the part takes pieces with their mask behind
    them, [B, 1, S, H + 1]. ``padding`` is the layer ``PaddingMask`` of the model.
    """
    _, _, length, hidden = between.shape
    given = keras.Input((1, length, hidden + 1), name="pieces_and_mask")
    known = {
        id(between): PiecesOf(name="pieces")(given),
        id(padding.get_output_at(0)): PaddingOf(name="mask")(given),
    }
    for layer in model.layers:
        if not layer.inbound_nodes or isinstance(layer, keras.layers.InputLayer):
            continue
        node = layer.inbound_nodes[0]
        read = tf.nest.flatten(node.keras_inputs)
        if id(node.outputs) in known or not all(id(tensor) in known for tensor in read):
            continue
        args, kwargs = tf.nest.map_structure(
            lambda x: known.get(id(x), x), (node.call_args, node.call_kwargs)
        )
        kwargs.pop("training", None)
        known[id(node.outputs)] = layer(*args, **kwargs)
    return keras.Model(given, known[id(model.output)])
