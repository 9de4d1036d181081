"""The QuPath extension's jar and its documentation, told what it was built as."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from release.failure import CommandFailure, ReleaseFailure, output
from release.network import UNREACHABLE, unreachable

NAME = "qupath-extension-hemalum"


def find_jdk(root: Path) -> str:
    """Home of a JDK 21 or newer; says so when there is none, or no Maven."""
    try:
        home = output(["sh", root / "qupath-extension" / "find-jdk.sh"]).strip()
    except CommandFailure:
        raise ReleaseFailure(
            "No JDK 21 or newer was found (JAVA_HOME, PATH, usual folders); install one, for example Temurin 25, "
            "or leave the extension out with EXTENSION=no"
        ) from None
    if not shutil.which("mvn"):
        raise ReleaseFailure("Maven was not found; install it, or leave the extension out with EXTENSION=no")
    return home


def build_extension(
    source: Path, target: Path, version: str, seconds: int, url: str, sums: Mapping[str, str]
) -> tuple[Path, Path]:
    """The jar and its javadoc jar.

    Args:
        url: address of the release's folder; empty where none is known.
        sums: file name → sha256 of the wheelhouses it may fetch from there.
    """
    home = find_jdk(source)
    properties = {
        "revision": version,
        "project.build.outputTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        "hemalum.release.url": url,
        "hemalum.release.wheelhouses": " ".join(f"{name}={digest}" for name, digest in sorted(sums.items()))
        if url
        else "",
    }
    command = [
        "mvn",
        "-q",
        "-B",
        "-f",
        str(source / "qupath-extension" / "pom.xml"),
        "package",
        "-DskipTests",
        "-P",
        "javadoc",
    ]
    command += [f"-D{name}={value}" for name, value in properties.items()]
    try:
        output(command, environment={**os.environ, "JAVA_HOME": home})
    except CommandFailure as failure:
        if unreachable(failure.said):
            raise ReleaseFailure(UNREACHABLE) from None
        errors = [line for line in failure.said.splitlines() if "ERROR" in line]
        raise ReleaseFailure(f"The extension could not be built: {(errors or [failure.tail()])[0]}") from None
    built = source / "qupath-extension" / "extension" / "target"
    jars = f"{NAME}-{version}.jar", f"{NAME}-{version}-javadoc.jar"
    return Path(shutil.copy(built / jars[0], target)), Path(shutil.copy(built / jars[1], target))
