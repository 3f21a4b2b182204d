"""``data.group`` as a regular expression over paths: which files belong together.

The user's expression is matched in a process of its own, which is ended when it takes too long:
some expressions need longer than a lifetime for one path, and nothing else can stop them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

from tfedge.data.listing import Entry
from tfedge.errors import DataError
from tfedge.files.files import shown

MAX_LENGTH = 300  # characters of an expression
SECONDS = 20.0  # for all paths
_MATCH = """
import json, re, sys
given = json.load(sys.stdin)
search = re.compile(given["pattern"]).search
found = [search(path) for path in given["paths"]]
json.dump([match and match[1] for match in found], sys.stdout)
"""


def is_expression(group: str) -> bool:
    """Whether ``data.group`` is an expression, not the name of a column."""
    return "(" in group


def expression_problem(group: str) -> str | None:
    """What is wrong with an expression, or None."""
    if len(group) > MAX_LENGTH:
        return f"an expression of more than {MAX_LENGTH} characters"
    try:
        groups = re.compile(group).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"no regular expression: {error}"
    if groups != 1:
        return (
            f"must have one group in parentheses, which finds the group's name, has {groups}; "
            "(?:…) is none"
        )
    return None


def grouped(
    entries: Sequence[Entry], expression: str, seconds: float = SECONDS
) -> tuple[tuple[Entry, ...], list[str]]:
    """The entries with the groups that an expression finds in their paths, and warnings.

    DataError when it finds none at all, or takes too long.
    """
    if problem := expression_problem(expression):
        raise DataError([f"data.group: {problem}"], "see https://docs.python.org/3/library/re")
    names = _matched(expression, [entry.path for entry in entries], seconds)
    lone = [entry.path for entry, name in zip(entries, names, strict=True) if not name]
    if entries and len(lone) == len(entries):
        raise DataError(
            [f"data.group: {shown(expression)!r} finds nothing in {shown(lone[0])}, nor elsewhere"],
            "it is searched in each file's path below data.path, with / between folders",
        )
    warnings = []
    if lone:
        few = ", ".join(map(shown, lone[:3])) + ", …" * (len(lone) > 3)
        warnings.append(f"data.group: in no group, and so each by itself: {len(lone)} ({few})")
    return tuple(
        entry._replace(group=name or None) for entry, name in zip(entries, names, strict=True)
    ), warnings


def _matched(expression: str, paths: Sequence[str], seconds: float) -> list[str | None]:
    """What the expression's group is in each path; None where it matches nothing."""
    import subprocess  # not in a check, which has no time for it

    given = json.dumps({"pattern": expression, "paths": list(paths)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MATCH],
            input=given.encode(),
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            [f"data.group: {shown(expression)!r} takes longer than {seconds:g} s"],
            "repeat nothing within a repetition, as (a+)+ does; [^/]* is faster than .*",
        ) from error
    found: list[str | None] = json.loads(done.stdout)
    return found
