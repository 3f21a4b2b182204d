#!/usr/bin/env python3
"""Packs tools/bench_more.py into tools/bench_tflite.py: one file to copy to a device.

python tools/pack_bench.py           writes it
python tools/pack_bench.py --check   exit 1 when it is another one; nothing is written
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
import zlib
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
SCRIPT, MORE = TOOLS / "bench_tflite.py", TOOLS / "bench_more.py"
PACKED = re.compile(r'^MORE = "(.*)"$', re.M)


def packed(source: bytes) -> str:
    """Text without quotes and backslashes, which base 85 has none of."""
    return base64.b85encode(zlib.compress(source, 9)).decode()


def unpacked(script: str) -> bytes:
    """What a script holds; b"" when there is nothing in it. ValueError: no place for it."""
    found = PACKED.search(script)
    if found is None:
        raise ValueError("no line MORE = ...")
    return zlib.decompress(base64.b85decode(found[1])) if found[1] else b""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    script, source = SCRIPT.read_text("utf-8"), MORE.read_bytes()
    if unpacked(script) == source:
        return 0
    if not check:
        SCRIPT.write_text(PACKED.sub(lambda _: f'MORE = "{packed(source)}"', script), "utf-8")
        return 0
    print(f"{SCRIPT.name} holds another {MORE.name}: python tools/{Path(__file__).name}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
