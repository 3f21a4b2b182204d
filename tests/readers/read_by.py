"""Asks a reader of its own environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 300


def read_by(python: Path, script: str, *paths: Path) -> dict[str, Any]:
    """What a script that runs in another Python prints last, as JSON."""
    done = subprocess.run(
        [python, HERE / script, *paths], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
