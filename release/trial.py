"""The proof of a wheelhouse for this machine: it is installed without an index, and `hemalum demo` runs."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

from release.failure import CommandFailure, ReleaseFailure, output
from release.platforms import Platform, this_machine


def suits(system: Platform, python: str) -> bool:
    """Whether this Python can try out a wheelhouse."""
    return system.name == this_machine() and python == f"{sys.version_info.major}.{sys.version_info.minor}"


def try_out(archive: Path, version: str, work: Path) -> None:
    """Installs a wheelhouse into an environment of its own and segments the bundled slide region there.

    Raises:
        ReleaseFailure: what was built does not work.
    """
    folder, place = work / "unpacked", work / "trial"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    scripts = place / ("Scripts" if sys.platform == "win32" else "bin")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    install = [
        scripts / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--find-links",
        folder / archive.stem,
    ]
    try:
        output([sys.executable, "-m", "venv", place], environment=environment)
        output([*install, f"hemalum=={version}"], environment=environment)
        output([scripts / "hemalum", "demo", "-o", work / "demo"], work, environment)
    except CommandFailure as failure:
        raise ReleaseFailure(f"The wheelhouse was built, but does not work here: {failure.tail()}") from None
