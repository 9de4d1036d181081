"""The systems a wheelhouse can be made for, and their names in uv, pip and QuPath's Java."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass

from release.failure import ReleaseFailure

GLIBC = 28  # minor version of the oldest glibc 2: RHEL 8, Debian 10, Ubuntu 20.04
MACOS = 14  # the oldest macOS
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Platform:
    """One system.

    Attributes:
        name: in file names and on the command line.
        target: for `uv pip compile --python-platform`.
        tags: for `pip download --platform`, best first.
        people: for readers.
    """

    name: str
    target: str
    tags: tuple[str, ...]
    people: str


def _manylinux(machine: str) -> tuple[str, ...]:
    numbered = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 16, -1)]
    return (*numbered, f"manylinux2014_{machine}", f"linux_{machine}")


def _macos(machine: str, oldest: int) -> tuple[str, ...]:
    versions = [f"{MACOS}_0"]
    for major in range(MACOS - 1, oldest - 1, -1):
        versions += [f"{major}_{minor}" for minor in range(15, -1, -1)]
    return tuple(f"macosx_{version}_{kind}" for version in versions for kind in (machine, "universal2"))


ALL = (
    Platform("linux", f"x86_64-manylinux_2_{GLIBC}", _manylinux("x86_64"), "Linux, x86-64, glibc 2.28 or newer"),
    Platform("linux-arm64", f"aarch64-manylinux_2_{GLIBC}", _manylinux("aarch64"), "Linux, ARM, glibc 2.28 or newer"),
    Platform("windows", "x86_64-pc-windows-msvc", ("win_amd64",), "Windows, x86-64"),
    Platform("macos-arm64", "aarch64-apple-darwin", _macos("arm64", 11), f"macOS {MACOS} or newer, Apple silicon"),
    Platform("macos-intel", "x86_64-apple-darwin", _macos("x86_64", 10), f"macOS {MACOS} or newer, Intel"),
)


def this_machine() -> str:
    """Name of the platform this Python runs on."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if sys.platform == "darwin":
        return "macos-arm64" if arm else "macos-intel"
    return "windows" if sys.platform == "win32" else "linux-arm64" if arm else "linux"


def chosen(platforms: str, pythons: str) -> list[tuple[Platform, str]]:
    """Every platform with every Python version; nothing said means this machine's.

    >>> [(system.name, python) for system, python in chosen("windows macos-arm64", "3.12")]
    [('windows', '3.12'), ('macos-arm64', '3.12')]
    """
    known = {system.name: system for system in ALL}
    names = _words(platforms) or [this_machine()]
    versions = _words(pythons) or [f"{sys.version_info.major}.{sys.version_info.minor}"]
    for name in names:
        if name not in known:
            raise ReleaseFailure(f"There is no platform {name!r}; choose among {', '.join(known)}")
    for version in versions:
        if version not in PYTHONS:
            raise ReleaseFailure(f"Hemalum does not run on Python {version}; choose among {', '.join(PYTHONS)}")
    return [(known[name], version) for name in names for version in versions]


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in re.split(r"[\s,]+", text) if word))
