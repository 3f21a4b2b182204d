"""Package names of an Android drop's Kotlin: which Java takes, and how Kotlin writes them."""

from __future__ import annotations

# A package is a folder of classes to Java, too, which has no way to quote a name.
_JAVA = """
    _ abstract assert boolean break byte case catch char class const continue default do double
    else enum extends false final finally float for goto if implements import instanceof int
    interface long native new null package private protected public return short static strictfp
    super switch synchronized this throw throws transient true try void volatile while
"""
# Kotlin's hard keywords that Java does not have: between backticks they are names.
_KOTLIN = "as fun in is object typealias typeof val var when"
JAVA, KOTLIN = frozenset(_JAVA.split()), frozenset(_KOTLIN.split())


def refused(package: str) -> list[str]:
    """The parts of a package name that Java reserves, each once."""
    return [part for part in dict.fromkeys(package.split(".")) if part in JAVA]


def in_kotlin(package: str) -> str:
    """The name as a Kotlin file has it: ``in.co.plants`` is written ```in`.co.plants``."""
    return ".".join(f"`{part}`" if _is_quoted(part) else part for part in package.split("."))


def _is_quoted(part: str) -> bool:
    return part in KOTLIN or not part.strip("_")  # Kotlin reserves __, ___ …, too
