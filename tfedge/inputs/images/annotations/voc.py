"""Pascal VOC: an XML file for each image, which counts pixels from 1 with both ends inside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler

from tfedge.errors import ArtifactError
from tfedge.files.files import shown
from tfedge.files.whole import whole
from tfedge.inputs.images.annotations.images import Images
from tfedge.inputs.images.annotations.model import Annotation, Collector, Notes

SUFFIX = ".xml"
_MOST_BYTES = 16 * 2**20
_MOST_NODES = 100_000
_DEEPEST = 32
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SETS = "ImageSets/Main"
_SPLITS = ("train", "val", "test")


@dataclass
class _Node:
    tag: str
    line: int
    text: str = ""
    inner: list[_Node] = field(default_factory=list)

    def all(self, tag: str) -> list[_Node]:
        return [node for node in self.inner if node.tag == tag]

    def one(self, tag: str) -> _Node | None:
        return next((node for node in self.inner if node.tag == tag), None)

    def said(self, tag: str) -> str:
        node = self.one(tag)
        return node.text.strip() if node is not None else ""


class _Refused(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


class _Tree(ContentHandler):
    """Elements with their lines; of bounded number and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.root: _Node | None = None
        self._open: list[_Node] = []
        self._count = 0
        self._locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:
        node = _Node(name, self._locator.getLineNumber())
        self._count += 1
        if self._count > _MOST_NODES or len(self._open) >= _DEEPEST:
            raise _Refused(node.line, "more elements than an annotation has")
        if self._open:
            self._open[-1].inner.append(node)
        else:
            self.root = node
        self._open.append(node)

    def endElement(self, name: str) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        self._open[-1].text += content


def files(root: Path, names: list[str]) -> list[str]:
    """Those of the files below a root that are annotations, by name."""
    return [name for name in names if name.lower().endswith(SUFFIX)]


def read(root: Path, names: list[str], images: Images, notes: Notes) -> list[Annotation]:
    """The annotations in these files, relative to the root."""
    lists = _lists(root, notes)
    found = []
    for name in files(root, names):
        annotation = _read(root, name, images, notes)
        if annotation is None:
            continue
        stem = Path(name).stem
        split = lists.get(stem) or images.split_of(annotation.path)
        if lists and stem not in lists:
            continue  # in no list: left out, which is said once
        found.append(replace(annotation, split=split))
    if lists and (left := len(files(root, names)) - len(found)) > 0 and not notes.problems:
        notes.warnings.append(f"annotations in no list of {_SETS}, left out: {left}")
    return found


def _lists(root: Path, notes: Notes) -> dict[str, str]:
    """The split of each image by name, as VOC's own lists have it."""
    found: dict[str, str] = {}
    for split in _SPLITS:
        path = root / _SETS / f"{split}.txt"
        if not path.is_file():
            continue
        try:
            text = whole(path, _MOST_BYTES).decode("utf-8")
        except (ArtifactError, UnicodeDecodeError) as error:
            notes.wrong(str(path), f"can't be read: {error}")
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for stem in line.split()[:1]:
                if found.setdefault(stem, split) != split:
                    notes.wrong(f"{path}:{number}", f"{shown(stem)} is in {found[stem]}, too")
    return found


def _read(root: Path, name: str, images: Images, notes: Notes) -> Annotation | None:
    path = root / name
    try:
        node = _parsed(path)
    except ArtifactError as error:
        notes.problems.append(error.message)
        return None
    except _Refused as error:
        notes.wrong(f"{path}:{error.line}", error.what)
        return None
    if node.tag != "annotation":
        what = f"<{shown(node.tag)}> is no annotation of Pascal VOC"
        notes.wrong(f"{path}:{node.line}", what)
        return None
    image = images.by_stem(Path(name).stem, node.said("filename"))
    if image is None:
        told = shown(node.said("filename") or Path(name).stem)
        notes.wrong(f"{path}", f"its image, {told}, is not there")
        return None
    width, height = _size(node, path, notes)
    if width is None or height is None:
        return None
    collector = Collector(notes, width, height)
    for thing in node.all("object"):
        _box(thing, path, collector, notes)
    return Annotation(image, collector.found(), str(path), width, height)


def _parsed(path: Path) -> _Node:
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.sax import parseString
    except ImportError as error:
        from tfedge.inputs.images.annotations.installed import missing

        raise missing("defusedxml", "Pascal VOC's XML is read by it") from error
    content = whole(path, _MOST_BYTES)
    tree = _Tree()
    try:
        parseString(content, tree, forbid_dtd=True)
    except DefusedXmlException as error:
        line = tree._locator.getLineNumber() if tree._locator else 1
        what = "declares a document type or entities, which no annotation needs: refused"
        raise _Refused(line, what) from error
    except SAXParseException as error:
        raise _Refused(error.getLineNumber() or 1, f"no whole XML: {error.getMessage()}") from error
    except (SAXException, ValueError, LookupError) as error:
        raise _Refused(1, f"no XML: {error}") from error
    if tree.root is None:
        raise _Refused(1, "no XML: it is empty")
    return tree.root


def _size(node: _Node, path: Path, notes: Notes) -> tuple[int | None, int | None]:
    size = node.one("size")
    if size is None:
        notes.wrong(f"{path}:{node.line}", "no <size>")
        return None, None
    try:
        width, height = int(size.said("width")), int(size.said("height"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        told = f"{shown(size.said('width'))!r} × {shown(size.said('height'))!r}"
        notes.wrong(f"{path}:{size.line}", f"<size> is {told}, not pixels")
        return None, None
    return width, height


def _box(thing: _Node, path: Path, collector: Collector, notes: Notes) -> None:
    where, bounds = f"{path}:{thing.line}", thing.one("bndbox")
    if bounds is None:
        notes.wrong(where, "an <object> without <bndbox>")
        return
    try:
        low_x, low_y, high_x, high_y = (float(bounds.said(corner)) for corner in _CORNERS)
    except ValueError:
        told = ", ".join(f"{corner} {bounds.said(corner)!r}" for corner in _CORNERS)
        notes.wrong(f"{path}:{bounds.line}", f"<bndbox> is no four numbers: {shown(told)}")
        return
    hard = thing.said("difficult") == "1"
    if low_x == high_x and low_y == high_y:  # one pixel: a click, not a box
        notes.empty.append(where)
        return
    collector.add(where, thing.said("name"), (low_x - 1, low_y - 1, high_x, high_y), ignored=hard)
