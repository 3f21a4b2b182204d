"""Addresses as they can be shown and kept: without passwords and tokens."""

from __future__ import annotations

import re

HIDDEN = "***"
# What stands in a query and opens nothing; the values of all other names may be keys.
_OPEN = frozenset({"dl", "download", "export", "format", "raw", "v", "version"})
# The last character is none that ends a sentence or a bracket around it.
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>`\\]*[^\s\"'<>`\\,.;:)\]}])")
# As a request's error tells it, without the host: "…exceeded with url: /file?token=…".
_PATH = re.compile(r"(\burl: /[^\s?\"']*\?)([^\s\"')]+)")


def without_secrets(text: str) -> str:
    """``text`` with ``***`` for whatever in its addresses may open something: user and password of
    a web address, the password of any other, values in a query, what stands behind ``#``."""
    text = _ADDRESS.sub(lambda found: found[1] + _open_part(found[1], found[2]), text)
    return _PATH.sub(lambda found: found[1] + _query(found[2]), text)


def has_secrets(text: str) -> bool:
    """Whether something would be hidden in it."""
    return without_secrets(text) != text


def _open_part(scheme: str, rest: str) -> str:
    rest, hash_sign, _ = rest.partition("#")
    rest, mark, query = rest.partition("?")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if at and scheme.lower() in ("http://", "https://"):  # the name alone may be a token
        user = HIDDEN
    elif ":" in user:
        user = f"{user.partition(':')[0]}:{HIDDEN}"
    shown = f"{user}{at}{host}{slash}{path}{mark}{_query(query)}"
    return f"{shown}#{HIDDEN}" if hash_sign else shown


def _query(text: str) -> str:
    return re.sub(r"[^&;]+", lambda found: _parameter(found[0]), text)


def _parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    if name.lower() in _OPEN:
        return text
    return f"{name}={HIDDEN}" if equals else HIDDEN
