"""The targets of ``package.targets``: flat rows."""

from __future__ import annotations

from tfedge.drops.android import ANDROID
from tfedge.drops.coral import CORAL
from tfedge.drops.linux import LINUX
from tfedge.drops.make import Target

TARGETS: dict[str, Target] = {row.name: row for row in (LINUX, ANDROID, CORAL)}
