#!/usr/bin/env python3
"""Write tools/bench_tflite.py, the device script, from its sources in tfedge/benchmark/script/.

python tools/build_device_script.py           writes it
python tools/build_device_script.py --check   exit 1 when it is another one; nothing is written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # of this checkout, whatever is installed

from tfedge.benchmark.device_script import SCRIPT_NAME, script_text  # noqa: E402

SCRIPT = ROOT / "tools" / SCRIPT_NAME


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    check = parser.parse_args().check
    text = script_text()
    if SCRIPT.is_file() and SCRIPT.read_text(encoding="utf-8") == text:
        return 0
    if not check:
        SCRIPT.write_text(text, encoding="utf-8")
        SCRIPT.chmod(0o755)
        return 0
    print(f"{SCRIPT.name} is not what its sources make: python tools/{Path(__file__).name}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
