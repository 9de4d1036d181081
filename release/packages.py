"""The Python packages: wheel and source distribution."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

from release.failure import CommandFailure, ReleaseFailure, output
from release.network import UNREACHABLE, unreachable

NEEDED = (  # what no wheel may lack
    "hemalum/py.typed",
    "hemalum/data/CMU-1-Small-Region.svs",
    "hemalum/data/learned_stain.npz",
    "hemalum/models/nuclei/card.json",
    "hemalum/models/nuclei/check.npz",
    "hemalum/models/nuclei/model.onnx",
    "hemalum/models/nuclei/model.int8.onnx",
    "hemalum/models/nuclei/model.pt2",
    "hemalum/models/nuclei/weights.safetensors",
    "hemalum/v1/nuclei_pb2.py",
    "hemalum_training/cli.py",
)
PACKAGES = ("hemalum/", "hemalum_training/")
LARGEST = 60_000_000  # bytes


def build_packages(source: Path, target: Path, seconds: int) -> tuple[Path, Path]:
    """Wheel and sdist of an exported source tree, dated by the commit.

    Returns:
        Paths of the wheel and of the sdist in `target`.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds)}
    try:
        output([sys.executable, "-m", "build", "--outdir", target, source], environment=environment)
    except CommandFailure as failure:
        if unreachable(failure.said) or "(from versions: none)" in failure.said:  # setuptools lies on every index
            raise ReleaseFailure(UNREACHABLE) from None
        raise ReleaseFailure(f"The wheel could not be built: {failure.tail()}") from None
    wheel, sdist = next(target.glob("hemalum-*.whl")), next(target.glob("hemalum-*.tar.gz"))
    faults = wheel_faults(wheel)
    if faults:
        raise ReleaseFailure(f"The wheel is not as it must be: {faults[0]}; see package-data in pyproject.toml")
    dated(sdist, seconds)
    return wheel, sdist


def wheel_faults(wheel: Path) -> list[str]:
    """What the wheel lacks, and what does not belong into it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    faults = [f"it lacks {name}" for name in NEEDED if name not in names]
    for name in names:
        if not name.startswith(PACKAGES) and ".dist-info/" not in name:
            faults.append(f"{name} does not belong to a package")
        if "research" in name or name.endswith((".pyc", ".pt", ".ckpt")):
            faults.append(f"{name} must not be in it")
    if wheel.stat().st_size > LARGEST:
        faults.append(f"it is larger than {LARGEST // 1_000_000} MB")
    return faults


def dated(sdist: Path, seconds: int) -> None:
    """Writes an sdist again with one date and one owner, so that the same commit gives the same bytes."""
    content = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            data = old.extractfile(member)
            member.mtime, member.uid, member.gid, member.uname, member.gname = seconds, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            new.addfile(member, data)
    with sdist.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as packed:
        packed.write(content.getvalue())
