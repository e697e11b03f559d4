#!/usr/bin/env python3
"""Make a Debian package of this checkout: `python docs/install/make_deb.py OUTPUT-DIRECTORY`.

Debian's pytest is older than what errpath needs, so the package brings its Python dependencies in
/usr/lib/errpath; programs come from Debian. Run it by the Python 3 of the release that the package
is for, in an environment with errpath and pip. DEBFULLNAME and DEBEMAIL name the maintainer.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

from errpath import __version__
from errpath.cli.doctor import examine_packages

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("usr/lib/errpath")
# On every Debian system, and not to be named.
ESSENTIAL = {"util-linux"}
COMMAND = f"""#!/bin/sh
PYTHONPATH=/{LIBRARY} exec /usr/bin/python3 -P -m errpath.cli "$@"
"""
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: errpath

Files: *
Copyright: the authors of errpath
License: GPL-2

License: GPL-2
 On Debian systems, the full text of the GNU General Public License version 2
 can be found in the file /usr/share/common-licenses/GPL-2.
"""
DESCRIPTION = """Description: fault injection and leak checks for Linux filesystems
 errpath forces the failures of a filesystem's mount in a real kernel under
 QEMU, and shows what was not given back: who allocated it, who took it over,
 and who should have freed it.
"""


def control(maintainer: str, size: int) -> str:
    """The control file; `size` in KiB."""
    needed, wished = (set(names) - ESSENTIAL for names in examine_packages())
    major, minor = sys.version_info[:2]
    python = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})"]
    fields = {
        "Package": "errpath",
        "Version": __version__,
        "Architecture": "amd64",
        "Maintainer": maintainer,
        "Installed-Size": str(size),
        "Depends": ", ".join([*python, "libc6 (>= 2.34)", *sorted(needed)]),
        "Suggests": ", ".join(sorted(wished)),
        "Section": "devel",
        "Priority": "optional",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + DESCRIPTION


def compress(path: Path, text: str) -> None:
    """The same bytes each time."""
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def fill(tree: Path, maintainer: str) -> None:
    """Everything that the package holds."""
    library = tree / LIBRARY
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target"]
    subprocess.run([*pip, str(library), str(ROOT)], check=True)
    # Programs of the dependencies, and a libyaml of PyYAML's own, which works without.
    shutil.rmtree(library / "bin", ignore_errors=True)
    for path in library.glob("yaml/_yaml*.so"):
        path.unlink()
    for path in library.rglob("*.so"):
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
    command = tree / "usr" / "bin" / "errpath"
    documents = tree / "usr" / "share" / "doc" / "errpath"
    manual = tree / "usr" / "share" / "man" / "man1"
    for directory in (command.parent, documents, manual):
        directory.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)
    (documents / "copyright").write_text(COPYRIGHT)
    entry = f"errpath ({__version__}) unstable; urgency=medium\n\n  * Package of a checkout.\n\n"
    date = formatdate(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    compress(documents / "changelog.gz", f"{entry} -- {maintainer}  {date}\n")
    page = subprocess.run(
        [sys.executable, "-m", "errpath.cli", "man"], check=True, capture_output=True, text=True
    )
    compress(manual / "errpath.1.gz", page.stdout)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path == command
            path.chmod(0o755 if executable else 0o644)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    name, mail = os.environ.get("DEBFULLNAME", "errpath"), os.environ.get("DEBEMAIL")
    if not mail:
        print(
            "make_deb.py: DEBEMAIL is not set; expected the maintainer's address", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "errpath"
        tree.mkdir()
        fill(tree, f"{name} <{mail}>")
        size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(control(f"{name} <{mail}>", size))
        package = output / f"errpath_{__version__}_amd64.deb"
        argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
