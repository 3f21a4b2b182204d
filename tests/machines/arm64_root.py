"""Build a small arm64 Linux that runs on an x86-64 PC: ``arm64_root.py [FOLDER]``.

An arm64 board for tests: Debian 12's arm64 Python 3.11 in a folder (no installation, no root, no
binfmt_misc), run by qemu's user mode. FOLDER is a cache (default: ``$TFEDGE_ARM64_CACHE``, else a
folder in the user's cache): the root lies in it under the digest of this file and is built once,
in some 20 seconds and 240 MB. Delete it whenever you like. Printed is where it is. In it:

    opt/litert/bin/python3           numpy and ai-edge-litert for aarch64
    opt/tflite-runtime/bin/python3   numpy 1 and tflite-runtime for aarch64
    usr/bin/python3                  the first one, for who enters the root
    bin/, usr/bin/                   a shell and its usual commands (x86-64 busybox)

The Pythons are scripts that start qemu and find the root by their own place. They work from
outside as they stand (``tfedge bench --device local:ROOT/opt/litert/bin/python3``), and inside,
after a chroot. ``entered(root, argv)`` gives the command that runs another one, as the root
user, in a mount namespace of its own where the root is dressed as a machine (/proc, /dev, /sys,
empty /root and /tmp) and also lies in /srv, below folders which sshd accepts for its chroot.

Two traps are avoided: LiteRT for aarch64 crashes when it reads an x86 /proc/cpuinfo, so the root
has one of an ARM; and qemu 7.2's default CPU gives *wrong* int8 results with XNNPACK, so a
Cortex-A72 is asked for. Latencies under emulation mean nothing.

All comes through this machine's apt and pip, which check it. Exits with 1 and the reason when
they can't provide it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from from_debian import cache_folder, command, made_once, need_debian, private_apt, run

LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0"),
    *("liblzma5", "libcrypt1", "libssl3", "libuuid1", "libpython3.11-minimal"),
    *("libpython3.11-stdlib", "python3.11-minimal"),
)
FLOCK, EMULATOR, SHELL = "util-linux", "qemu-user-static:amd64", "busybox-static:amd64"
WHEELS = {
    "litert": ("ai-edge-litert==2.3.*", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite-runtime==2.14.0", "tflite_runtime.interpreter"),
}
NUMPY = {"litert": "numpy<3", "tflite-runtime": "numpy<2"}
GLIBC = 36  # Debian 12 has glibc 2.36: wheels for manylinux_2_17 … manylinux_2_36 run

APT = """\
APT::Architecture "arm64";
APT::Architectures { "arm64"; "amd64"; };
Dir::State::status "{work}/status";
"""

# Finds the root by its own place: "" after a chroot. The prefix of -L goes before every absolute
# path that exists there, /proc/cpuinfo among them; PYTHONHOME keeps Python from writing its
# compiled modules through that prefix into the host's folders.
PYTHON = """\
#!/bin/sh
root=${0%/opt/*}
export PYTHONHOME="$root/usr"
exec "$root/usr/bin/EMULATOR" -cpu PROCESSOR -L "$root/" -0 "$0" \\
  "$root/usr/bin/python3.11" "$@"
"""
# Commands inside that are neither x86-64 busybox nor links: the script above looks at its own path.
INSIDE = {
    "usr/bin/python3": 'exec /opt/litert/bin/python3 "$@"',
    "usr/bin/flock": 'exec /usr/bin/qemu-aarch64-static /usr/libexec/flock "$@"',
}

CPU = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
USERS = """\
root:x:0:0:root:/root:/bin/sh
sshd:x:74:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""

# $1 is the root, what follows the command. The mounts are gone with the last process in here.
ENTER = """\
root=$1
shift
mount -t proc proc "$root/proc"
mount --bind "$root/etc/cpuinfo" "$root/proc/cpuinfo"
mount --rbind /dev "$root/dev"
mount --bind /sys "$root/sys"
for folder in root tmp run data/local/tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
chmod 700 "$root/root"
mount --bind "$root/etc/passwd" /etc/passwd
mount --rbind "$root" /srv
exec "$@"
"""


def entered(root: Path, argv: Sequence[str]) -> list[str]:
    """``argv`` (a program of the host) started where ``root`` is dressed as a machine, in /srv too.

    It still has to go into the root: ``chroot ROOT …``, or sshd's ``ChrootDirectory /srv``. Needs
    the root user, and util-linux.
    """
    private = ["unshare", "--mount", "--propagation", "private", "--"]
    return [*private, "sh", "-euc", ENTER, "sh", str(root), *argv]


def build(folder: Path | None = None) -> Path:
    """The root, built unless it is in ``folder`` (default: the cache) already.

    Raises:
        Unavailable: another machine than x86-64 Linux, or apt or pip did not provide a part.
    """
    recipe = Path(__file__).read_text(encoding="utf-8")
    return made_once(folder or cache_folder("arm64"), recipe, _make)


def _make(work: Path) -> Path:
    need_debian("the arm64 root")
    root = work / "root"
    _unpack_debian(root, work)
    _dress(root)
    for site in WHEELS:
        _install_site(root, site)
    return root


def _unpack_debian(root: Path, work: Path) -> None:
    """Download arm64 packages and the two x86-64 programs with apt's lists of our own."""
    debs = work / "debs"
    for place in (root, debs):
        place.mkdir()
    (work / "status").touch()
    apt = private_apt(work, APT)
    run("apt-get", "update", "-qq", **apt)
    run("apt-get", "download", "-qq", *LIBRARIES, FLOCK, EMULATOR, SHELL, cwd=debs, **apt)
    wanted = {name: [] for name in LIBRARIES}
    wanted[FLOCK] = ["./usr/bin/flock"]
    wanted[EMULATOR.partition(":")[0]] = ["./usr/bin/qemu-aarch64-static"]
    wanted[SHELL.partition(":")[0]] = ["./bin/busybox"]
    script = 'dpkg-deb --fsys-tarfile "$0" | tar -x --no-same-owner -C "$@"'
    for name, members in wanted.items():
        run("sh", "-c", script, next(debs.glob(f"{name}_*.deb")), root, *members)


def _dress(root: Path) -> None:
    """What makes a machine of it: commands, users, the processor, places to mount on."""
    (root / "usr/libexec").mkdir(parents=True, exist_ok=True)
    (root / "usr/bin/flock").rename(root / "usr/libexec/flock")
    for place, line in INSIDE.items():
        executable(root / place, f"#!/bin/sh\n{line}\n")
    for name in {*run(root / "bin/busybox", "--list").split()} - {"busybox"}:
        (root / "bin" / name).symlink_to("busybox")
    for place in ("proc", "sys", "dev", "run", "root", "tmp", "data/local/tmp"):
        (root / place).mkdir(parents=True, exist_ok=True)
    processors = "".join(CPU.format(number=number) for number in range(os.cpu_count() or 1))
    for place in ("proc/cpuinfo", "etc/cpuinfo"):  # the first one is hidden by a mounted /proc
        (root / place).write_text(processors, encoding="ascii")
    (root / "etc/passwd").write_text(USERS, encoding="ascii")


def _install_site(root: Path, site: str) -> None:
    """A virtual environment with a runtime's wheels for aarch64, tried out once."""
    wheel, module = WHEELS[site]
    home = root / "opt" / site
    (home / "bin").mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="ascii")
    executable(home / "bin/python3", python("qemu-aarch64-static", "cortex-a72"))
    tags = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, GLIBC + 1)]
    target = home / "lib/python3.11/site-packages"
    options = ["--only-binary=:all:", "--no-compile", "--python-version=3.11", *tags]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", target, *options]
    run(*pip, "--platform=manylinux2014_aarch64", wheel, NUMPY[site])
    # also writes the compiled modules, which under emulation take longest
    run(home / "bin/python3", "-c", f"import {module}", PYTHONDONTWRITEBYTECODE="")


def python(emulator: str, processor: str) -> str:
    """The script that is a root's Python: it starts this emulator as this processor."""
    return PYTHON.replace("EMULATOR", emulator).replace("PROCESSOR", processor)


def executable(file: Path, text: str) -> None:
    file.write_text(text, encoding="ascii")
    file.chmod(0o755)


if __name__ == "__main__":
    sys.exit(command(__doc__, build))
