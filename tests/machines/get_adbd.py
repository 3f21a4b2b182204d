"""Fetch a phone's adb daemon for tests: ``python tests/machines/get_adbd.py [FOLDER]``.

Debian packages the real ``adbd``, which makes an "Android device" of any Linux that it runs on,
and the ``adb`` client of the same version. This machine's apt downloads both with the libraries
that are missing here and checks their digests; nothing is installed, no root is needed. Debian 12
has them in bookworm-backports, which a private apt configuration adds; newer ones in main.

FOLDER is a cache (default: ``$TFEDGE_ADBD_CACHE``, else a folder in the user's cache). Printed is
a folder with two programs, ``adb`` and ``adbd``. adbd also runs after a chroot, in a root that has
neither its libraries nor this machine's architecture: copy the whole folder there.

Careful: this adbd gives a shell to whoever connects, without asking, on all addresses. Run it in a
network namespace of its own, as tests/devices/adbd.py does. Exits with 1 and the reason when it
can't be had.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from pathlib import Path

from from_debian import Unavailable, cache_folder, command, made_once, private_apt, run

PACKAGES = ("adbd", "adb")

APT = """\
APT::Get::List-Cleanup "false";
Debug::NoLocking "true";
Dir::Etc::sourcelist "{work}/backports.list";
"""

ADB = '#!/bin/sh\nhere=${0%/*}\nLD_LIBRARY_PATH="$here/lib" exec "$here/libexec/adb" "$@"\n'
# By way of the loader, and not by LD_LIBRARY_PATH, which all commands on the "device" would get.
ADBD = """\
#!/bin/sh
here=${0%/*}
exec "$here/lib/loader" --library-path "$here/lib:$here/lib/host" "$here/libexec/adbd" "$@"
"""


def fetch(folder: Path | None = None) -> Path:
    """The folder with adb and adbd, downloaded unless ``folder`` has it already; or Unavailable."""
    # Its libraries are partly this machine's: after an upgrade it is made anew.
    recipe = Path(__file__).read_text(encoding="utf-8") + platform.platform()
    return made_once(folder or cache_folder("adbd"), recipe, make)


def make(work: Path) -> Path:
    if missing := [n for n in ("apt-get", "apt-cache", "dpkg-deb", "ldd") if not shutil.which(n)]:
        raise Unavailable(f"adbd comes as a Debian package; not found here: {', '.join(missing)}")
    unpacked = work / "root"
    for deb in download(work):
        run("dpkg-deb", "-x", deb, unpacked)
    new = arrange(unpacked, work / "new")
    run(new / "adb", "version")
    return new


def download(work: Path) -> list[Path]:
    """The packages and what they need beyond this machine's."""
    sources = work / "backports.list"
    sources.touch()
    apt = private_apt(work, APT)
    run("apt-get", "update", "-qq", **apt)
    pin = []
    if "Candidate: (none)" in (policy := run("apt-cache", "policy", "adbd", **apt)) or not policy:
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        listed = run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", **apt)
        found = re.search(rf"^{re.escape(release)} (\S+)$", listed, re.M) if release else None
        if not found:
            raise Unavailable("apt knows no package adbd, and this is no Debian with backports")
        sources.write_text(f"deb {found[1]} {release}-backports main\n", encoding="utf-8")
        only = ["-o", "Dir::Etc::sourceparts=-"]
        run("apt-get", "update", "-qq", *only, **apt)
        pin = ["-t", f"{release}-backports"]
    quiet = ["-qq", "-y", "--no-install-recommends", "--reinstall"]
    run("apt-get", "install", "--download-only", *quiet, *pin, *PACKAGES, **apt)
    return sorted((work / "cache/archives").glob("*.deb"))


def arrange(root: Path, new: Path) -> Path:
    """Programs, their libraries, and those of this machine that they take beside them."""
    (new / "lib/host").mkdir(parents=True)
    (new / "libexec").mkdir()
    for name, wrapper in (("adb", ADB), ("adbd", ADBD)):
        found = [f for f in root.rglob(f"platform-tools/{name}") if f.is_file()]
        if len(found) != 1:
            raise Unavailable(f"Debian's package has no platform-tools/{name}")
        shutil.copy2(found[0], new / "libexec" / name)
        (new / name).write_text(wrapper, encoding="ascii")
        (new / name).chmod(0o755)
    for library in root.rglob("*.so.*"):
        shutil.copy2(library, new / "lib")
    listed = run("ldd", new / "libexec/adbd", LD_LIBRARY_PATH=str(new / "lib"))
    for library in re.findall(r"=> (/\S+) \(", listed):
        if not Path(library).is_relative_to(new):
            shutil.copy2(library, new / "lib/host")
    loader = re.search(r"^\s*(/\S+) \(0x", listed, re.M)
    if loader is None or "not found" in listed:
        raise Unavailable(f"adbd does not find its libraries here: {' '.join(listed.split())}")
    shutil.copy2(loader[1], new / "lib/loader")
    return new


if __name__ == "__main__":
    sys.exit(command(__doc__, fetch))
