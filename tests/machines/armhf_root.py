"""Build a 32-bit ARM Linux that runs on an x86-64 PC: ``armhf_root.py [FOLDER]``.

What a Raspberry Pi with a 32-bit system has once the README of a Linux drop was followed: Debian
12's armhf Python 3.11 with Debian's own numpy and Pillow, and an environment that sees them, still
without a runtime. Run by qemu's user mode, as in ``arm64_root.py``; cached, and built once, in the
same way (``$TFEDGE_ARMHF_CACHE``; 160 MB). In it:

    opt/board/bin/python3   Debian's numpy and Pillow for armv7l

Latencies under emulation mean nothing. Exits with 1 and the reason when apt can't provide a
part.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from arm64_root import executable, python
from from_debian import Unavailable, cache_folder, command, made_once, need_debian, private_apt, run

PACKAGES = ("python3-minimal", "python3-numpy", "python3-pil")
EMULATOR = "qemu-user-static:amd64"
LINKS = {"libblas.so.3": "blas", "liblapack.so.3": "lapack"}  # Debian sets them when it installs

# With an empty status nothing is installed yet, so that apt finds all the packages below these.
APT = """\
APT::Architecture "armhf";
APT::Architectures { "armhf"; "amd64"; };
APT::Install-Recommends "false";
Dir::State::status "{work}/status";
Dir::Etc::main "/dev/null";
"""
CPU = """\
processor\t: 0
model name\t: ARMv7 Processor rev 3 (v7l)
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x0
CPU part\t: 0xc07
CPU revision\t: 3
"""


def build(folder: Path | None = None) -> Path:
    """The root, built unless it is in ``folder`` (default: the cache) already.

    Raises:
        Unavailable: another machine than x86-64 Linux, or apt did not provide a part.
    """
    recipe = Path(__file__).read_text(encoding="utf-8") + python("", "")
    return made_once(folder or cache_folder("armhf"), recipe, _make)


def _make(work: Path) -> Path:
    need_debian("the armhf root")
    root = work / "root"
    root.mkdir()
    (work / "status").touch()
    apt = private_apt(work, APT)
    with suppress(Unavailable):  # one list of several: the next line says what is really missing
        run("apt-get", "update", "-qq", **apt)
    run("apt-get", "install", "-qq", "--yes", "--download-only", *PACKAGES, **apt)
    for deb in (work / "cache/archives").glob("*.deb"):
        run("dpkg-deb", "-x", deb, root)
    run("apt-get", "download", "-qq", EMULATOR, cwd=work, **apt)
    run("dpkg-deb", "-x", next(work.glob("qemu-user-static_*.deb")), work / "emulator")
    (work / "emulator/usr/bin/qemu-arm-static").rename(root / "usr/bin/qemu-arm-static")
    for name, folder in LINKS.items():
        (root / "usr/lib/arm-linux-gnueabihf" / name).symlink_to(f"{folder}/{name}")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(CPU, encoding="ascii")
    _environment(root / "opt/board")
    return root


def _environment(home: Path) -> None:
    """What ``python3 -m venv --system-site-packages`` makes there, tried out once."""
    (home / "bin").mkdir(parents=True)
    settings = "home = /usr/bin\ninclude-system-site-packages = true\n"
    (home / "pyvenv.cfg").write_text(settings, encoding="ascii")
    executable(home / "bin/python3", python("qemu-arm-static", "cortex-a15"))
    # also writes the compiled modules, which under emulation take longest
    run(home / "bin/python3", "-c", "import PIL.Image, numpy", PYTHONDONTWRITEBYTECODE="")


if __name__ == "__main__":
    sys.exit(command(__doc__, build))
