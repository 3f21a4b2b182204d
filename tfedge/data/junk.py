"""What file systems, network drives and file managers leave between files: never examples."""

from __future__ import annotations

# Folders, in lower case. Names that begin with a dot are passed over whatever they are.
_FOLDERS = frozenset(
    [
        *("@eadir", "@synoeastream", "@tmp", "#recycle", "#snapshot"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb"),  # QNAP
        *("__macosx", "lost+found", "network trash folder", "temporary items"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        *("__pycache__", "_thumbs", "thumbnails.noindex"),
    ]
)
_FILES = frozenset(["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "zbthumbnail.info"])
_FILE_STARTS = ("synophoto_thumb_", "synofile_thumb_")


def is_junk(name: str) -> bool:
    """Whether a file or folder of that name is passed over."""
    low = name.lower()
    return low.startswith((".", *_FILE_STARTS)) or low in _FOLDERS or low in _FILES
