"""Any net of Keras Applications as one flat graph of layers that can be pruned and quantized.

Keras writes parts of its nets as bare operations, nested models, fused activations and layers of
its own, which TF-MOT refuses or the converter leaves in float. Here each net is walked through
once and written down again, with the names of its layers (``/`` becomes ``_``):

- its own preprocessing (Rescaling, Normalization) is left out: normalisation is ``network.build``'s
- dropout and what else does nothing in inference are left out
- ``x + y`` and ``x * y`` become Add and Multiply; hard sigmoid and hard swish a layer each
- swish becomes sigmoid and Multiply, also where it is a convolution's activation
- a separable convolution becomes a depthwise and a 1×1 one
- a batch norm that follows no convolution gets one that carries it (``layers.Carrier``)
- Dense on feature maps becomes a 1×1 convolution, a scale by channel a depthwise one
- layer normalisation becomes its steps, the last of them a 1×1 depthwise convolution
- a convolution of as many groups as channels becomes a depthwise one
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.errors import UnsupportedModel
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import Carrier, ChannelMean, HardSigmoid, HardSwish, InverseRoot

L = keras.layers
_CARRYING = (L.Conv2D, L.DepthwiseConv2D, L.Dense)
_LEFT_OUT = ("Dropout", "StochasticDepth", "Rescaling", "Normalization", "InputLayer")
_KEPT = (
    *(L.Conv2D, L.DepthwiseConv2D, L.BatchNormalization, L.ReLU, L.Activation),
    *(L.Add, L.Multiply, L.Concatenate, L.MaxPooling2D, L.AveragePooling2D, L.Cropping2D),
    *(L.GlobalAveragePooling2D, L.Reshape, L.ZeroPadding2D),
)


@dataclass(frozen=True)
class _Pending:
    """A step on the way to a hard sigmoid of ``of``, written down only when it is known whose."""

    step: str  # "x+3" | "relu6(x+3)" | "hard_sigmoid"
    of: Any
    name: str


def _name(layer: Any) -> str:
    """Keras' names for bare operations, and for layers in scopes, as names of layers."""
    name = layer.name.replace("tf.__operators__.add", "plus").replace("tf.math.multiply", "times")
    return name.replace("/", "_")


def _refused(layer: Any, what: str) -> UnsupportedModel:
    remedy = "choose another backbone; `tfedge backbones` lists those that work"
    return UnsupportedModel(what, [f"{layer.name} ({type(layer).__name__})"], remedy)


class _Writer:
    """Writes one net down on the tensor it is given."""

    def __init__(self) -> None:
        self._tensors: dict[int, Any] = {}
        self._hard: dict[int, Any] = {}
        self._rules: dict[str, Callable[[Any, tuple, dict], Any]] = {
            "TFOpLambda": self._operation,
            "Activation": self._activation,
            "Conv2D": self._convolution,
            "DepthwiseConv2D": self._convolution,
            "SeparableConv2D": self._separable,
            "BatchNormalization": self._norm,
            "LayerNormalization": self._layer_norm,
            "Dense": self._dense,
            "ReLU": self._relu,
            "Multiply": self._multiply,
            "LayerScale": self._layer_scale,
            "CustomScaleLayer": self._scaled_sum,
        }

    def write(self, model: Any, inputs: Any) -> Any:
        """The layers of ``model`` on ``inputs``; its output."""
        self._tensors[id(model.input)] = inputs
        for layer in model.layers:
            if isinstance(layer, L.InputLayer):
                continue
            node = next(n for n in layer.inbound_nodes if self._ready(n))
            args, kwargs = tf.nest.map_structure(
                lambda x: self._tensors.get(id(x), x), (node.call_args, node.call_kwargs)
            )
            kwargs.pop("training", None)
            self._tensors[id(node.outputs)] = self._layer(layer, args, kwargs)
        return self._settled(self._tensors[id(model.output)])

    def _ready(self, node: Any) -> bool:
        return all(id(tensor) in self._tensors for tensor in tf.nest.flatten(node.keras_inputs))

    def _layer(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        kind = type(layer).__name__
        if kind in _LEFT_OUT:
            return args[0]
        if isinstance(layer, keras.Model):
            return _Writer().write(layer, self._settled(args[0]))
        if rule := self._rules.get(kind):
            return rule(layer, args, kwargs)
        if not isinstance(layer, _KEPT):
            raise _refused(layer, "a layer that is not known here")
        return self._again(layer, args[0])

    def _again(self, layer: Any, inputs: Any, **changed: Any) -> Any:
        """The same layer on other inputs, with some of its settings changed."""
        settings = {**layer.get_config(), "name": _name(layer), **changed}
        return type(layer).from_config(settings)(tf.nest.map_structure(self._settled, inputs))

    def _settled(self, tensor: Any) -> Any:
        """A tensor; of a hard sigmoid that is more than half of a hard swish, the layer's."""
        if not isinstance(tensor, _Pending):
            return tensor
        if tensor.step != "hard_sigmoid":
            raise UnsupportedModel(
                f"an operation that is not known here, {tensor.step}", [tensor.name], "a bug"
            )
        if id(tensor) not in self._hard:
            self._hard[id(tensor)] = HardSigmoid(name=tensor.name)(tensor.of)
        return self._hard[id(tensor)]

    def _operation(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        left, right, *_ = (*args, *kwargs.values(), None)
        operation, name = layer.get_config()["function"], _name(layer)
        number = isinstance(right, float)
        if operation == "__operators__.add" and number and right == 3.0:
            return _Pending("x+3", left, name)
        sixth = operation == "math.multiply" and number and math.isclose(right, 1 / 6)
        if sixth and isinstance(left, _Pending) and left.step == "relu6(x+3)":
            return _Pending("hard_sigmoid", left.of, name)
        if not number and operation == "__operators__.add":
            return L.Add(name=name)([self._settled(left), self._settled(right)])
        if not number and operation == "math.multiply":
            return L.Multiply(name=name)([self._settled(left), self._settled(right)])
        raise _refused(layer, f"an operation that is not known here, {operation}")

    def _relu(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        given = args[0]
        if isinstance(given, _Pending) and given.step == "x+3" and layer.max_value == 6.0:
            return _Pending("relu6(x+3)", given.of, given.name)
        return self._again(layer, given)

    def _multiply(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        left, right = args[0]
        if isinstance(right, _Pending) and right.step == "hard_sigmoid" and right.of is left:
            return HardSwish(name=_name(layer))(left)
        return self._again(layer, [left, right])

    def _activation(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        return self._activated(args[0], layer.activation.__name__, _name(layer))

    def _activated(self, inputs: Any, activation: str, name: str) -> Any:
        inputs = self._settled(inputs)
        if activation == "linear":
            return inputs
        if activation in ("swish", "silu"):
            gate = L.Activation("sigmoid", name=f"{name}_sigmoid")(inputs)
            return L.Multiply(name=name)([inputs, gate])
        return L.Activation(activation, name=name)(inputs)

    def _convolution(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        activation = layer.activation.__name__
        if _is_depthwise(layer):
            x = L.DepthwiseConv2D(
                layer.kernel_size,
                strides=layer.strides,
                padding=layer.padding,
                dilation_rate=layer.dilation_rate,
                use_bias=layer.use_bias,
                name=_name(layer),
            )(self._settled(args[0]))
            return self._activated(x, activation, f"{_name(layer)}_{activation}")
        if activation in ("linear", "relu"):
            return self._again(layer, args[0])
        linear = self._again(layer, args[0], activation="linear")
        return self._activated(linear, activation, f"{_name(layer)}_{activation}")

    def _separable(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        name = _name(layer)
        shared = {"padding": layer.padding, "use_bias": False}
        x = L.DepthwiseConv2D(
            layer.kernel_size,
            strides=layer.strides,
            dilation_rate=layer.dilation_rate,
            depth_multiplier=layer.depth_multiplier,
            name=f"{name}_depthwise",
            **shared,
        )(self._settled(args[0]))
        x = L.Conv2D(layer.filters, 1, use_bias=layer.use_bias, name=f"{name}_pointwise")(x)
        return self._activated(x, layer.activation.__name__, f"{name}_activation")

    def _norm(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        inputs = self._settled(args[0])
        before = inputs._keras_history.layer
        alone = len(layer.inbound_nodes[0].parent_nodes[0].layer.outbound_nodes) == 1
        if not (isinstance(before, _CARRYING) and alone):
            inputs = Carrier(name=f"{_name(layer)}_carrier")(inputs)
        return self._again(layer, inputs)

    def _dense(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        if len(args[0].shape) != 4:
            return self._again(layer, args[0])
        x = L.Conv2D(layer.units, 1, use_bias=layer.use_bias, name=_name(layer))(args[0])
        activation = layer.activation.__name__
        return self._activated(x, activation, f"{_name(layer)}_{activation}")

    def _layer_norm(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        """(x − mean) / √(variance + ε) · gamma + beta, over the channels (Ba et al. 2016).

        In steps, since each of them has a range of its own in 8 bits.
        """
        inputs, name = self._settled(args[0]), _name(layer)
        if list(layer.axis) != [len(inputs.shape) - 1]:
            raise _refused(layer, "a layer normalisation over more than the channels")
        mean = ChannelMean(name=f"{name}_mean")(inputs)
        centred = L.Subtract(name=f"{name}_centred")([inputs, mean])
        squares = L.Multiply(name=f"{name}_squares")([centred, centred])
        variance = ChannelMean(name=f"{name}_variance")(squares)
        inverse = InverseRoot(layer.epsilon, name=f"{name}_inverse")(variance)
        normal = L.Multiply(name=f"{name}_normal")([centred, inverse])
        return L.DepthwiseConv2D(1, use_bias=layer.center, depthwise_initializer="ones", name=name)(
            normal
        )

    def _layer_scale(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        return L.DepthwiseConv2D(
            1,
            use_bias=False,
            depthwise_initializer=keras.initializers.Constant(layer.init_values),
            name=_name(layer),
        )(args[0])

    def _scaled_sum(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        """left + right · scale: the scale of Inception-ResNet-v2 goes into the kernels' start.

        ``right`` is the result of a linear convolution, which can carry any factor.
        """
        left, right = args[0]
        return L.Add(name=_name(layer))([left, right])


def _is_depthwise(layer: Any) -> bool:
    """A Conv2D whose groups are single channels."""
    groups = getattr(layer, "groups", 1)
    return type(layer) is L.Conv2D and 1 < groups == layer.filters == layer.input_shape[-1]


def rewritten(model: Any, inputs: Any) -> Any:
    """The layers of a functional model on a tensor [None, S, S, 3]; its feature map.

    Weights are new. Raises UnsupportedModel naming a layer that has no rule here.
    """
    return _Writer().write(model, inputs)


def _leaves(model: Any) -> Iterator[Any]:
    """The layers of a functional model, those of nested ones in their place, but for what is
    left out of the graph."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        elif type(layer).__name__ not in _LEFT_OUT:
            yield layer


def _weight(variable: Any) -> str:
    return variable.name.rsplit("/", 1)[-1].split(":")[0]


def variables_of(model: Any) -> dict[str, Any]:
    """``layer/weight`` of every variable of a functional model that `rewritten_weights` takes over.

    Keras' own names, but that a layer's is written with ``_`` for ``/``.
    """
    return {
        f"{_name(layer)}/{_weight(variable)}": variable
        for layer in _leaves(model)
        for variable in layer.weights
    }


def rewritten_weights(model: Any) -> dict[str, np.ndarray]:
    """The weights of a functional model under the names they have in the rewritten one.

    ``layer/weight`` → float32. What is left out of the graph has none here.
    """
    found: dict[str, np.ndarray] = {}
    for layer in _leaves(model):
        for variable in layer.weights:
            found |= _carried(layer, _weight(variable), np.asarray(variable.numpy(), np.float32))
    for layer in model.layers:
        if type(layer).__name__ == "CustomScaleLayer":  # see _Writer._scaled_sum
            name = _name(layer.inbound_nodes[0].parent_nodes[1].layer)
            for key in (f"{name}/kernel", f"{name}/bias"):
                found[key] = found[key] * np.float32(layer.scale)
    return found


def _carried(layer: Any, weight: str, value: np.ndarray) -> dict[str, np.ndarray]:
    name, kind = _name(layer), type(layer).__name__
    if kind == "SeparableConv2D":
        if weight == "depthwise_kernel":
            return {f"{name}_depthwise/{weight}": value}
        return {f"{name}_pointwise/{weight.removeprefix('pointwise_')}": value}
    if kind == "LayerScale" or (kind == "LayerNormalization" and weight == "gamma"):
        return {f"{name}/depthwise_kernel": value[None, None, :, None]}
    if kind == "LayerNormalization":
        return {f"{name}/bias": value}
    if weight == "kernel" and _is_depthwise(layer):
        return {f"{name}/depthwise_kernel": value.transpose(0, 1, 3, 2)}
    if kind == "Dense" and weight == "kernel":
        return {f"{name}/kernel": value[None, None]}
    return {f"{name}/{weight}": value}
