"""Wheelhouses: archives with the wheels of the server and of all it needs, for one system and one Python.

uv decides which versions, since it reads the markers of requirements for the system they are meant for (pip reads them
for the one it runs on, and would leave out what only Windows needs); pip fetches the wheels by hash; uv shows without
an index that what was fetched is complete.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

from release.failure import CommandFailure, ReleaseFailure, output
from release.network import UNREACHABLE, unreachable
from release.platforms import MACOS, Platform

HOWTO = """Hemalum {version}: the server and all it needs, for {people} and Python {python}.

In QuPath:         Extensions > Hemalum > Install server, from this archive or from its folder.
Without QuPath:    python{python} -m venv hemalum
                   hemalum/bin/python -m pip install --no-index --find-links FOLDER hemalum=={version}
                   (Windows: py -{python} -m venv hemalum, then hemalum\\Scripts\\python -m pip install ...)
                   FOLDER is where this file lies. Then: hemalum/bin/hemalum demo

For research use only.
"""
NO_WHEEL = re.compile(r"(?P<package>[A-Za-z0-9_.-]+?)(?:[<>=!~]=?[^ ]*)? has no (?:usable )?wheels")
NOT_FOUND = re.compile(r"No matching distribution found for (?P<package>[A-Za-z0-9_.-]+)")


def build_wheelhouse(
    wheel: Path, version: str, system: Platform, python: str, target: Path, work: Path, seconds: int
) -> Path:
    """Fetches the wheels that `wheel` needs and packs them together with it.

    Args:
        target: folder of the archive.
        work: an empty folder.
        seconds: date of the archive's members, Unix seconds.

    Raises:
        ReleaseFailure: no network; a package without a wheel for this system and Python.
    """
    stem = stem_of(version, system, python)
    folder = work / stem
    folder.mkdir()
    requirements = work / f"{stem}.txt"
    requirements.write_text(_versions(wheel, system, python), encoding="utf-8")
    _fetch(requirements, folder, system, python)
    shutil.copy(wheel, folder)
    (folder / "INSTALL.txt").write_text(
        HOWTO.format(version=version, people=system.people, python=python), encoding="utf-8", newline="\r\n"
    )
    _check_complete(folder, version, system, python)
    archive = target / f"{stem}.zip"
    pack(folder, archive, seconds)
    shutil.rmtree(folder)
    return archive


def stem_of(version: str, system: Platform, python: str) -> str:
    """Name of a wheelhouse, without `.zip`."""
    return f"hemalum-{version}-wheelhouse-{system.name}-py{python}"


def pack(folder: Path, archive: Path, seconds: int) -> None:
    """A folder as a zip whose bytes depend on its files and the date alone; not compressed, since wheels are."""
    moment = time.gmtime(seconds)[:6]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", moment)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            with path.open("rb") as source, packed.open(entry, "w") as member:
                shutil.copyfileobj(source, member)


def lacking(said: str, system: Platform, python: str) -> str:
    """The sentence for what uv or pip said when they found no wheel."""
    where = f"{system.people} ({system.name}) and Python {python}"
    found = NO_WHEEL.search(" ".join(said.split())) or NOT_FOUND.search(said)
    if found:
        remedy = "leave this pair out, or allow another version in pyproject.toml"
        return f"There is no wheel of {found['package']} for {where}; {remedy}"
    cause = re.search(r"(?:cause: |╰─▶ )(.+)", said)
    return f"The wheels for {where} do not fit together: {cause[1] if cause else ' '.join(said.split())[-300:]}"


def _uv(*arguments: str | Path) -> str:
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": f"{MACOS}.0", "NO_COLOR": "1"}
    if index := os.environ.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    return output([sys.executable, "-m", "uv", "pip", "compile", "--quiet", *arguments], environment=environment)


def _aim(system: Platform, python: str) -> list[str]:
    return ["--python-platform", system.target, "--python-version", python, "--only-binary", ":all:"]


def _versions(wheel: Path, system: Platform, python: str) -> str:
    asked = wheel.parent / "asked.txt"
    asked.write_text(f"hemalum @ {wheel.resolve().as_uri()}\n", encoding="utf-8")
    try:
        return _uv(
            asked,
            *_aim(system, python),
            "--generate-hashes",
            "--no-emit-package",
            "hemalum",
            "--no-header",
            "--no-annotate",
        )
    except CommandFailure as failure:
        raise ReleaseFailure(
            UNREACHABLE if unreachable(failure.said) else lacking(failure.said, system, python)
        ) from None
    finally:
        asked.unlink()


def _fetch(requirements: Path, folder: Path, system: Platform, python: str) -> None:
    tags: list[str] = []
    for tag in system.tags:
        tags += ["--platform", tag]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
    ]
    command += [
        "--implementation",
        "cp",
        "--python-version",
        python,
        *tags,
        "--dest",
        str(folder),
        "-r",
        str(requirements),
    ]
    try:
        output(command)
    except CommandFailure as failure:
        raise ReleaseFailure(
            UNREACHABLE if unreachable(failure.said) else lacking(failure.said, system, python)
        ) from None


def _check_complete(folder: Path, version: str, system: Platform, python: str) -> None:
    asked = folder.parent / "asked.txt"
    asked.write_text(f"hemalum=={version}\n", encoding="utf-8")
    try:
        _uv(asked, *_aim(system, python), "--no-index", "--find-links", folder)
    except CommandFailure as failure:
        raise ReleaseFailure(f"The wheelhouse is not complete. {lacking(failure.said, system, python)}") from None
    finally:
        asked.unlink()
