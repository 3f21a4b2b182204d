"""The short form of tools/cache_campaign.py: some of its kills, disks, flips and runs at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "cache_campaign.py"


def mounts() -> bool:
    """Whether small disks can be made here, seen by nobody else."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    command = "mount -t tmpfs -o size=64k tmpfs /mnt"
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", command]
    return subprocess.run(private, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("part", "least"),
    [
        ("renames --every 29", 6),
        ("kills --count 4", 4),
        ("disk --step 44", 4),
        ("flips --every 397 --commands 20", 80),
        ("together --count 10", 2),
    ],
)
def test_each_ends_with_the_bytes_of_an_undisturbed_run(part: str, least: int) -> None:
    if part.startswith("disk") and not mounts():
        pytest.skip("no disk can be mounted here: that takes root")
    done = subprocess.run(
        [sys.executable, str(TOOL), *part.split()], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r": (\d+) tried: .*; 0 wrong", done.stdout)
    assert found is not None and int(found[1]) >= least, done.stdout
