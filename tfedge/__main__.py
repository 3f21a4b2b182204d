"""``python -m tfedge``."""

from tfedge.cli import process

process()
