"""Campaigns against hostile files, caches and drops, in their short forms: minutes, not seconds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # for its helpers
