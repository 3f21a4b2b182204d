"""What labelled files are of: images, texts. Listing and audit are the same for all kinds, but for
the names of files and the words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tfedge.data.layouts import check_layout

# The path of a folder, the folders that would be classes, files of the kind below it, and others.
Layout = Callable[[str, Collection[str], Sequence[str], Sequence[str]], None]


@dataclass(frozen=True)
class Labels:
    """What the label of an example says. ``classes`` gives the class of each thing in it, ``told``
    says it in words, ``stratum`` which examples are split evenly among themselves."""

    classes: Callable[[str], Sequence[str]]
    told: Callable[[str], str]
    stratum: Callable[[str], str]


def _itself(label: str) -> str:
    return label


ONE_CLASS = Labels(lambda label: (label,), _itself, _itself)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    ``one`` is its name; ``suffixes``, without a dot, say that a file is one. ``may_skip`` is the
    key whose value ``skip`` leaves out files that can't be read. ``together`` are examples of what
    belongs together, ``sample`` is a ``data.path`` that is built in. ``layout`` raises DataError
    for folders that hold data of another task.

    ``listed`` is ``"module:function"`` of (data, root, until) that lists examples whose labels
    neither folders nor tables of paths can say; ``labels`` is what these say, ``counted`` what is
    counted of a class, ``fewest`` how many classes there must be.
    """

    one: str
    suffixes: frozenset[str]
    may_skip: str
    together: str
    sample: str
    layout: Layout | None = None
    listed: str = ""
    labels: Labels = ONE_CLASS
    counted: str = ""
    fewest: int = 2

    @property
    def things(self) -> str:
        """What is counted of a class: the examples, unless these hold several."""
        return self.counted or self.many

    @property
    def many(self) -> str:
        return f"{self.one}s"

    def names(self, file: str) -> bool:
        """Whether the name of a file says that it is one."""
        stem, _, suffix = file.rpartition("/")[2].rpartition(".")
        return stem != "" and suffix.lower() in self.suffixes


TEXTS = Kind(
    "text",
    frozenset(["txt", "text"]),
    may_skip="data.on_bad_text",
    together="what one author wrote, parts of a document",
    sample="sample:messages",
)

IMAGES = Kind(
    "image",
    # Those that can't be decoded are bad images, not ignored files.
    frozenset(
        [
            *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "dib", "webp", "gif"),
            *("tif", "tiff", "heic", "heics", "heif", "hif", "avif", "jp2", "jxl", "ico", "psd"),
            *("ppm", "pgm", "pbm", "pnm", "tga", "exr", "hdr", "dcm"),
            # cameras
            *("dng", "cr2", "cr3", "nef", "nrw", "arw", "raf", "orf", "rw2", "pef", "srw"),
        ]
    ),
    may_skip="data.on_bad_image",
    together="frames of a video, a series of photos",
    sample="sample:digits",
    layout=check_layout,
)
