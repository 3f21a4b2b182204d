"""Several self-contained modules as one plain script: what is copied to a device.

The script is made of the modules' own text. Their imports stand once, at its top; each module's
body follows under a comment with its name, and nothing is packed, renamed or left out.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

OLDEST = (3, 7)  # the Python that every assembled script must run on
WIDTH = 100
_CPU = 'DELEGATE = ""'  # as it stands in a script for the CPU


@dataclass(frozen=True)
class Source:
    """A module: the name by which others import it, and its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, feature_version=OLDEST)

    @cached_property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Those at the top level; those in functions stay where they are."""
        return [node for node in self.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]

    @cached_property
    def defined(self) -> set[str]:
        """Every name that the module itself gives a value to at its top level."""
        return set(_defined(self.tree.body))

    @cached_property
    def body(self) -> str:
        """The text without its shebang, docstring and top-level imports."""
        lines = self.text.splitlines()
        left_out: list[ast.stmt] = [*self.imports]
        if self.docstring:
            left_out.append(self.tree.body[0])
        for node in left_out:
            assert node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        if lines and lines[0].startswith("#!"):
            lines[0] = ""
        return "\n".join(lines).strip("\n")

    @property
    def shebang(self) -> str:
        first = self.text.split("\n", 1)[0]
        return f"{first}\n" if first.startswith("#!") else ""


def source(name: str) -> Source:
    """The module of that name, as its file stands."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ValueError(f"there is no module {name}")
    return Source(name, Path(found.origin).read_text(encoding="utf-8"))


def ingredients(main: str, parts: Sequence[str]) -> str:
    """All that a script of these modules is made of, and how: it is the same as long as this is,
    and this is quickly read."""
    return "\0".join(source(name).text for name in (__name__, main, *parts))


@dataclass(frozen=True)
class Example:
    """The example script of a drop: the module ``main`` and ``parts`` that training uses, too.
    Where numpy is missing it starts all the same, to say so."""

    name: str
    main: str
    parts: tuple[str, ...]

    def ingredients(self) -> bytes:
        """All that it is made of."""
        return f"{self.name}\0{ingredients(self.main, self.parts)}".encode()

    @cache  # noqa: B019 (there is one for each task, as long as the process)
    def text(self, name: str = "", delegate: str = "") -> bytes:
        """The script, under another ``name`` if one is given; ``delegate``: edgetpu, or nothing for
        the CPU."""
        parts = [source(part) for part in self.parts]
        text = assembled(source(self.main), parts, optional=["numpy"])
        if delegate:
            assert text.count(_CPU) == 1
            text = text.replace(_CPU, f'DELEGATE = "{delegate}"')
        return text.replace(self.name, name or self.name).encode("utf-8")


def assembled(main: Source, parts: Sequence[Source], optional: Collection[str] = ()) -> str:
    """``parts`` and then ``main`` as one script, with the shebang and the docstring of ``main``.

    Parts come before whatever uses them while it is imported. Packages in ``optional`` may be
    missing where the script runs: what is imported of them is None there.

    Raises:
        ValueError: two modules use a name for different things, or import each other in a way
            that has no meaning in one file; or the script would not be Python 3.7.
    """
    modules = [*parts, main]
    _check_names(modules)
    plain, froms = _imports(modules)
    future = "from __future__ import annotations\n"
    head = f'{main.shebang}"""{_raw_docstring(main)}"""\n\n{future}\n'
    blocks = []
    for module in modules:
        comment = f"# ---- {module.name.replace('.', '/')}.py ----"
        if module is not main and module.docstring:
            told = (f"# {line}".rstrip() for line in module.docstring.splitlines())
            comment = "\n".join([comment, *told])
        gap = "\n\n\n" if _starts_with_definition(module) else "\n\n"
        blocks.append(comment + gap + module.body)
    imports = _import_block(plain, froms, optional)
    gap = "\n\n\n" if imports.endswith(" = None") else "\n\n"  # as isort and ruff format want it
    script = head + imports + gap + "\n\n\n".join(blocks) + "\n"
    try:
        ast.parse(script, feature_version=OLDEST)
    except SyntaxError as error:
        raise ValueError(f"{main.name}: the assembled script is not Python 3.7: {error}") from error
    return script


def _raw_docstring(module: Source) -> str:
    """Its text between the quotes, escapes as they are written."""
    if not module.docstring:
        raise ValueError(f"{module.name}: the main module of a script needs a docstring")
    text = ast.get_source_segment(module.text, module.tree.body[0]) or ""
    if not text.startswith('"""'):
        raise ValueError(f'{module.name}: a docstring stands in """')
    return text[3:-3]


def _starts_with_definition(module: Source) -> bool:
    after = [node for node in module.tree.body if node not in module.imports]
    first = after[1 if module.docstring else 0] if len(after) > bool(module.docstring) else None
    definition = isinstance(first, (ast.FunctionDef, ast.ClassDef))
    return definition and not module.body.startswith("#")


def _defined(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With)):
            for name in ast.walk(node):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    yield name.id
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from _defined(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _defined(handler.body)


def _check_names(modules: Sequence[Source]) -> None:
    """ValueError when a name stands for two things: in one file the last would win."""
    owner: dict[str, str] = {}
    for module in modules:
        for name in sorted(module.defined):
            if name in owner:
                raise ValueError(f"{name} is defined in {owner[name]} and in {module.name}")
            if hasattr(builtins, name):
                raise ValueError(f"{module.name} defines {name}, a name of Python's own")
            owner[name] = module.name
    bound: dict[str, tuple[str, str]] = {}
    for module in modules:
        for node in module.imports:
            if _is_own(node, module, modules):
                continue
            for alias in node.names:
                name, what = _binding(node, alias)
                if name in owner:
                    raise ValueError(
                        f"{name} is defined in {owner[name]}, imported in {module.name}"
                    )
                other, where = bound.setdefault(name, (what, module.name))
                if other != what:
                    raise ValueError(f"{name} is {other} in {where} and {what} in {module.name}")


def _binding(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[str, str]:
    """The name that an import gives, and what it stands for."""
    if isinstance(node, ast.ImportFrom):
        return alias.asname or alias.name, f"{node.module}.{alias.name}"
    return alias.asname or alias.name.split(".")[0], alias.name if alias.asname else (
        alias.name.split(".")[0]
    )


def _is_own(node: ast.Import | ast.ImportFrom, module: Source, modules: Sequence[Source]) -> bool:
    """Whether this imports from another of the modules, which is in the same file then.

    ValueError when it can't simply be left out.
    """
    by_name = {each.name: each for each in modules}
    roots = {name.split(".")[0] for name in by_name}
    if isinstance(node, ast.Import):
        wrong = [alias.name for alias in node.names if alias.name.split(".")[0] in roots]
        if wrong:
            raise ValueError(f"{module.name}: import names from {wrong[0]}, not {wrong[0]} itself")
        return False
    if node.level:
        raise ValueError(f"{module.name}: imports are absolute here")
    place = str(node.module)
    if place.split(".")[0] not in roots:
        return False
    for alias in node.names:
        if f"{place}.{alias.name}" in by_name:
            what = f"{place}.{alias.name}"
            raise ValueError(f"{module.name}: import names from {what}, not {what} itself")
        if place not in by_name:
            raise ValueError(f"{module.name} imports {place}, which is not in the script")
        if alias.name not in by_name[place].defined:
            raise ValueError(f"{module.name} imports {alias.name}, which {place} does not define")
        if alias.asname:
            raise ValueError(f"{module.name} calls {alias.name} {alias.asname}: no other names")
    return True


def _imports(
    modules: Sequence[Source],
) -> tuple[set[str], dict[str, set[str]]]:
    """``import`` statements, and the names of ``from`` imports by their modules."""
    plain: set[str] = set()
    froms: dict[str, set[str]] = {}
    for module in modules:
        for node in module.imports:
            if _is_own(node, module, modules):
                continue
            told = [f"{a.name} as {a.asname}" if a.asname else a.name for a in node.names]
            if isinstance(node, ast.Import):
                plain.update(told)
            elif node.module != "__future__":
                froms.setdefault(str(node.module), set()).update(told)
    return plain, froms


def _import_block(
    plain: Collection[str], froms: dict[str, set[str]], optional: Collection[str]
) -> str:
    """All imports, sorted: the standard library, other packages, then the optional ones."""
    standard: list[str] = []
    others: list[str] = []
    tried: dict[str, list[str]] = {root: [] for root in optional}
    for text, module in [(f"import {text}", text) for text in sorted(plain)] + [
        (_from(module, names), module) for module, names in sorted(froms.items())
    ]:
        root = module.split()[0].split(".")[0]
        if root in tried:
            tried[root].append(text)
        elif root in sys.stdlib_module_names:
            standard.append(text)
        else:
            others.append(text)
    blocks = ["\n".join(block) for block in (standard, others) if block]
    for texts in tried.values():
        if texts:
            blocks.append(_optional(texts))
    return "\n\n".join(blocks)


def _optional(texts: Sequence[str]) -> str:
    names: list[str] = []
    for text in texts:
        (node,) = ast.parse(text).body
        assert isinstance(node, (ast.Import, ast.ImportFrom))
        names += [_binding(node, alias)[0] for alias in node.names]
    tries = "\n".join(f"    {line}" for text in texts for line in text.splitlines())
    return f"try:\n{tries}\nexcept ImportError:\n    {' = '.join(names)} = None"


def _from(module: str, names: Collection[str]) -> str:
    ordered = sorted(names, key=_member_order)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def _member_order(name: str) -> tuple[int, str]:
    """isort's order: constants, classes, the rest."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[0].isupper() else 2), name
