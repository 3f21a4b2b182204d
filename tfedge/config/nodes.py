"""YAML text to plain data, with the line and column of every key and value.

Read as YAML 1.2's core schema, because 1.1 surprises people: there ``1e-3`` is text, ``no`` is
false and ``1:30`` is ninety. Only plain data passes: a tag that would build an object is refused,
aliases are expanded under a limit, and a file can't make the reader recurse without end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tfedge.config.spelling import closest
from tfedge.errors import ConfigError

MAX_BYTES = 1 << 16  # PyYAML takes a second for them at worst; a full pipeline has some 5 kB
MAX_NODES = 10_000  # keys and values, aliases expanded; a full pipeline has some 150
MAX_DEPTH = 32

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Kind:
    """What a file is, in the words of messages."""

    noun: str
    plural: str
    sections: str  # what it starts with
    least: str  # what it must hold
    folder: str = ""  # what to do where a folder of something was meant


PIPELINE = Kind(
    "pipeline",
    "pipelines",
    "name:, data:, …",
    "it needs at least name: and data: (tfedge init FOLDER writes one)",
    "a folder of examples? tfedge init {path} -o mine.yaml writes a pipeline for it",
)

_TAG = "tag:yaml.org,2002:"
_PLAIN = {"str", "int", "float", "bool", "null", "map", "seq"}


@dataclass(frozen=True, order=True)
class Spot:
    """Where something was written. They sort in the order in which a person meets them."""

    source: int  # 0: the file; n: the n-th --set
    line: int
    column: int
    text: str = field(compare=False)


@dataclass
class Tree:
    """Plain data (dict, list, str, int, float, bool, None), and where each piece was written."""

    text: str
    data: object = None
    keys: dict[KeyPath, Spot] = field(default_factory=dict)
    values: dict[KeyPath, Spot] = field(default_factory=dict)
    problems: list[tuple[Spot, str]] = field(default_factory=list)
    bad: set[KeyPath] = field(default_factory=set)  # paths whose value was refused


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader up to the node graph, with YAML 1.2's scalars and a limit on depth."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 (the name and type are PyYAML's)
    depth = 0
    count = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        self.count += 1
        what = "nested too deeply" if self.depth > MAX_DEPTH else ""
        if self.count > MAX_NODES:
            what = f"more than {MAX_NODES:,} values"
        if what:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, what, mark)
        node = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self.depth -= 1
        return node


for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_pattern})$"), list(_first))


def read(path: Path, kind: Kind = PIPELINE) -> Tree:
    """The file as a tree.

    Raises ConfigError when it can't be read, is no text, is not valid YAML, or is no mapping.
    Problems that don't hinder reading on (a key given twice, a tag) are left in ``problems``.
    """
    text = _text(path, kind)
    tree = parse(text, str(path), kind=kind)
    spot = Spot(0, 1, 1, f"{path}:1:1")
    if tree.data is None:
        raise ConfigError([f"{path}: the file is empty"], kind.least)
    if not isinstance(tree.data, dict):
        got = "a list" if isinstance(tree.data, list) else "a single value"
        raise ConfigError([f"{spot.text}: must be sections ({kind.sections}), got {got}"])
    return tree


def parse(text: str, name: str, source: int = 0, kind: Kind = PIPELINE) -> Tree:
    """YAML text as a tree; ``name`` is what messages call it, ``source`` as in ``Spot``."""
    if len(text) > MAX_BYTES:
        raise ConfigError([f"{name}: larger than 64 kB, too large for a {kind.noun}"])
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _place(name, source, mark.line, mark.column) if mark else name
        raise ConfigError([f"{where}: not valid YAML: {_syntax_error_text(error)}"]) from None
    except yaml.reader.ReaderError as error:
        what = f"the character {error.character!r} is not allowed in YAML"
        raise ConfigError([f"{name}: not a YAML file: {what}"]) from None
    except (ValueError, OverflowError) as error:  # "\UFFFFFFFF", or %YAML with 5,000 digits
        raise ConfigError([f"{name}: not valid YAML: {error}"]) from None
    finally:
        if loader is not None:
            loader.dispose()
    tree = Tree(text)
    if node is not None:
        tree.data = _Builder(tree, name, source, kind).build(node, ())
    return tree


def _text(path: Path, kind: Kind) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], _neighbour(path, kind)) from None
    except IsADirectoryError:
        what = f"is a folder, not a {kind.noun} file"
        hint = _neighbour(path, kind) or kind.folder.format(path=path)
        raise ConfigError([f"{path}: {what}"], hint) from None
    except OSError as error:
        raise ConfigError([f"{str(path)[:200]}: can't be read: {error.strerror}"]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than 64 kB, too large for a {kind.noun} file"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not a text file (a {kind.noun} is YAML in UTF-8)"]) from None
    if "\0" in text:
        raise ConfigError([f"{path}: not a text file (it holds a zero byte)"])
    return text


def _neighbour(path: Path, kind: Kind) -> str:
    """A hint with the file that was probably meant."""
    folder = path if path.is_dir() else path.parent
    files = {f.name: f for f in sorted(folder.glob("*.y*ml"))} if folder.is_dir() else {}
    near = closest(path.name, files)
    if near:
        return f"did you mean {files[near]}?"
    return f"{kind.plural} here: {', '.join(str(f) for f in files.values())}" if files else ""


def _syntax_error_text(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's own words for a syntax error, on one line."""
    said = [part for part in (error.context, error.problem) if part]
    text = ", ".join(said)
    if "'\\t'" in text:
        text += " (a tab: indent with spaces)"
    return text


def _place(name: str, source: int, line: int, column: int) -> str:
    """``file:line:col``; a --set is one short line, its name alone says where."""
    return name if source else f"{name}:{line + 1}:{column + 1}"


class _Builder:
    """Turns the node graph into data, noting where each piece stood."""

    def __init__(self, tree: Tree, name: str, source: int, kind: Kind) -> None:
        self.tree, self.name, self.source, self.kind = tree, name, source, kind
        self.count = 0
        self.open: list[Node] = []  # the nodes we are inside of, to see an alias to one of them

    def spot(self, node: Node) -> Spot:
        line, column = node.start_mark.line, node.start_mark.column
        return Spot(self.source, line, column, _place(self.name, self.source, line, column))

    def build(self, node: Node, path: KeyPath) -> object:
        spot = self.tree.values[path] = self.spot(node)
        self.count += 1
        if self.count > MAX_NODES:
            what = f"more than {MAX_NODES:,} values with aliases written out"
            raise ConfigError([f"{spot.text}: {what}, too many for a {self.kind.noun}"])
        if any(node is outer for outer in self.open):
            raise ConfigError([f"{spot.text}: an alias (*) that holds itself"])
        if node.tag.removeprefix(_TAG) not in _PLAIN:
            tag = node.tag.replace(_TAG, "!!")
            what = f"a {self.kind.noun} holds plain data only"
            self.problem(spot, f"tag {tag} is not allowed: {what}")
            self.tree.bad.add(path)
            return None
        self.open.append(node)
        try:
            if isinstance(node, MappingNode):
                return dict(self.entries(node, path))
            if isinstance(node, SequenceNode):
                return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
            assert isinstance(node, ScalarNode)  # there are three kinds
            return self.scalar(node, path)
        finally:
            self.open.pop()

    def scalar(self, node: ScalarNode, path: KeyPath) -> object:
        if not _sound(node.value):
            self.problem(
                self.spot(node), "holds a character that no text has (NUL, or a surrogate)"
            )
            self.tree.bad.add(path)
            return None
        return _scalar(node)

    def entries(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, object]]:
        seen: dict[str, Spot] = {}
        for key_node, value_node in node.value:
            spot = self.spot(key_node)
            if not isinstance(key_node, ScalarNode):
                self.problem(spot, "a key must be text, got a list or a section")
                continue
            key = key_node.value
            if not _sound(key):
                self.problem(spot, "a key holds a character that no text has")
                continue
            inner = (*path, key)
            if key == "<<":
                self.problem(spot, "merge keys (<<) are not supported: write the keys out")
            elif key in seen:
                first = f" (first in line {seen[key].line + 1})" if not self.source else ""
                self.problem(spot, f"{'.'.join(map(str, inner))}: given twice{first}")
            else:
                seen[key] = self.tree.keys[inner] = spot
                yield key, self.build(value_node, inner)

    def problem(self, spot: Spot, text: str) -> None:
        self.tree.problems.append((spot, text))


def _sound(text: str) -> bool:
    """Whether it can be written to a file and be a path: escapes such as ``"\\0"`` need not."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _scalar(node: ScalarNode) -> object:
    """A scalar's value. A number that can't be one (1e999, one of above 64 bits) stays text."""
    kind, text = node.tag.removeprefix(_TAG), node.value
    try:
        if kind == "int":
            whole = int(text, 0) if text[:2] in ("0x", "0o") else int(text, 10)
            return whole if whole.bit_length() <= 64 else text
        if kind == "float":
            number = float(text)
            return number if math.isfinite(number) else text
    except ValueError:
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    return None if kind == "null" else text
