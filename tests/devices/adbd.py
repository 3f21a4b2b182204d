"""A real Android daemon on this machine: Debian's adbd, shut off in namespaces of its own.

adbd lets in whoever connects. So it has a network of its own (the adb client and its server are
started in there, too), and may not open vsock, which network namespaces do not separate. It also
has its own processes, of which nothing outlives it, and its own ``/data``; the rest of the file
system is this machine's, or an arm64 root's. Needs the root user; ``start`` says why it can't.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from arm64_root import entered
from from_debian import Unavailable
from get_adbd import fetch

# Read before a test is given a cache of its own: it is fetched once, not once for each test.
_CACHE = Path(os.environ["TFEDGE_CACHE"]) / "adbd" if "TFEDGE_CACHE" in os.environ else None
PORT, SERVER_PORT = 5600, 5999  # in the network namespace
SERIAL = f"127.0.0.1:{PORT}"
SECCOMP = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # its name, its socket(2)
ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--"]

# $1 is the size of /data/local/tmp. A root with this machine's folders in it and its own /data.
DRESS = """\
mount -t tmpfs tmpfs /mnt
for entry in /*; do
  case "$entry" in /mnt | /proc | /data) continue ;; esac
  if [ -L "$entry" ]; then cp -P "$entry" /mnt/; continue; fi
  [ -d "$entry" ] || continue
  mkdir "/mnt$entry"
  mount --rbind "$entry" "/mnt$entry"
done
mkdir -p /mnt/proc /mnt/data/bin /mnt/data/local/tmp
mount -t proc proc /mnt/proc
mount -t tmpfs -o "size=$1" tmpfs /mnt/data/local/tmp
shift
ip link set lo up
exec chroot /mnt "$@"
"""

# $1 is adbd's folder, $2 the arm64 root: an x86-64 program, so it brings its own libraries.
DRESS_ARM = """\
ip link set lo up
mkdir "$2/run/adbd"
cp -R "$1/." "$2/run/adbd/"
exec chroot "$2" /run/adbd/adbd
"""


class Phone:
    """A running adbd. ``adb`` is a client that reaches it, and nothing else does."""

    def __init__(self, process: subprocess.Popen[bytes], adbd: Path, scratch: Path) -> None:
        self.process = process
        self.log = scratch / "adbd.log"
        self._network = -1
        self.pid = self._child()
        # held open, so that the adb server can still be reached when adbd has gone
        self._network = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        self.adb = scratch / "bin" / "adb"
        self.adb.parent.mkdir()
        enter = f"nsenter --net=/proc/{os.getpid()}/fd/{self._network} --"
        settings = f"env HOME={scratch} ANDROID_ADB_SERVER_PORT={SERVER_PORT}"
        self.adb.write_text(f'#!/bin/sh\nexec {enter} {settings} {adbd}/adb "$@"\n')
        self.adb.chmod(0o755)

    def _child(self) -> int:
        """adbd's process id: the child of ``unshare``."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for _ in range(100):
            if self.process.poll() is not None:
                break
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.05)
        raise Unavailable(f"namespaces can't be made here: {self.log.read_text().strip()}")

    @property
    def root(self) -> Path:
        """Its file system, seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def ask(self, *arguments: str) -> str:
        """What adb prints."""
        command = [self.adb, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    def commands(self) -> list[str]:
        """Command lines of what runs on it, adbd aside."""
        found = []
        for folder in self.root.glob("proc/[0-9]*"):
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if line and folder.name != "1":
                    found.append(line)
        return found

    def provide(self, name: str, script: str) -> None:
        """A command for its shell."""
        file = self.root / "data/bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def see(self, path: str) -> Path:
        """A file of its, as it is seen from here."""
        return self.root / path.lstrip("/")

    def stop(self) -> None:
        """As if the battery had been taken out."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.ask("kill-server")
        self.stop()
        os.close(self._network)


@contextlib.contextmanager
def start(scratch: Path, *, arm64: Path | None = None, size: str = "160m") -> Iterator[Phone]:
    """A phone whose shell is this machine's, or the arm64 root's; ``scratch`` is an empty folder.

    Unavailable when it can't be had here, with the reason.
    """
    if os.geteuid():
        raise Unavailable("namespaces for adbd need the root user")
    if platform.machine() not in SECCOMP:
        raise Unavailable(f"adbd can't be shut off here: no filter for {platform.machine()}")
    if missing := [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]:
        raise Unavailable(f"adbd is shut off with iproute2 and util-linux; not found: {missing}")
    adbd = fetch(_CACHE)
    if arm64 is None:
        inside = ["sh", "-euc", DRESS, "sh", size, str(adbd / "adbd")]
    else:
        inside = entered(arm64, ["sh", "-euc", DRESS_ARM, "sh", str(adbd), str(arm64)])
    path = "/data/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with (scratch / "adbd.log").open("wb") as log:
        process = subprocess.Popen(
            [*ALONE, *inside],
            env={"PATH": path, "ADBD_PORT": str(PORT), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_confine,
        )
    try:
        phone = Phone(process, adbd, scratch)
    except BaseException:
        process.kill()
        process.wait()
        raise
    try:
        _wait(phone)
        yield phone
    finally:
        phone.close()


def _wait(phone: Phone) -> None:
    for _ in range(100):
        if phone.process.poll() is not None:
            raise Unavailable(f"adbd does not run here: {phone.log.read_text().strip()}")
        if "adbd started" in phone.log.read_text(errors="replace"):
            return
        time.sleep(0.1)
    raise Unavailable(f"adbd does not start here: {phone.log.read_text().strip()}")


def _confine() -> None:
    """For the process about to start: it ends with this one, and neither it nor what it starts gets
    a socket of the family AF_VSOCK (seccomp)."""
    machine, socket = SECCOMP[platform.machine()]
    load, equal, answer, allowed, refused = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000 | 97
    rules = [
        (load, 0, 0, 4),
        (equal, 0, 5, machine),
        (load, 0, 0, 0),
        (equal, 0, 3, socket),
        (load, 0, 0, 16),  # the family
        (equal, 0, 1, 40),
        (answer, 0, 0, refused),
        (answer, 0, 0, allowed),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP with a filter
    for option in ((1, signal.SIGKILL, 0, 0, 0), (38, 1, 0, 0, 0), (22, 2, program, 0, 0)):
        if libc.prctl(*option):
            raise OSError(ctypes.get_errno(), "prctl")
