"""Wheels, wheelhouses and what is said of the files in dist/."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from release import packages
from release.contents import CONTENTS, SUMS, write_contents, write_sums
from release.failure import CommandFailure, ReleaseFailure
from release.network import unreachable
from release.packages import NEEDED, dated, wheel_faults
from release.platforms import ALL, chosen
from release.wheelhouses import lacking, pack, stem_of

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = next(system for system in ALL if system.name == "windows")


def wheel(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_what_a_wheel_needs_lies_in_the_sources():
    for name in NEEDED:
        package = "training" if name.startswith("hemalum_training") else "server"
        assert (ROOT / package / name).exists(), name


def test_every_file_beside_the_code_is_packaged():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    patterns = re.findall(r'"([^"]+)"', re.search(r"package-data\]\nhemalum = \[(.*?)\]", text, re.DOTALL)[1])
    patterns = [pattern.replace("**/", "*") for pattern in patterns]
    for path in (ROOT / "server" / "hemalum").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyi") and path.parent.name != "__pycache__":
            name = path.relative_to(ROOT / "server" / "hemalum").as_posix()
            assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


def test_a_wheel_that_lacks_something_or_holds_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good = [*NEEDED, "hemalum-1.2.0.dist-info/METADATA"]
    assert wheel_faults(wheel(tmp_path / "a.whl", good)) == []
    assert wheel_faults(wheel(tmp_path / "b.whl", good[1:])) == [f"it lacks {NEEDED[0]}"]
    for name in ("tests/test_a.py", "hemalum/models/nuclei-research/model.onnx", "hemalum/a.pyc"):
        assert [fault for fault in wheel_faults(wheel(tmp_path / "c.whl", [*good, name])) if name in fault]
    monkeypatch.setattr(packages, "LARGEST", 10)
    assert wheel_faults(tmp_path / "a.whl") == ["it is larger than 0 MB"]


def test_an_sdist_depends_on_its_files_alone(tmp_path: Path):
    made = []
    for turn, seconds in enumerate((5, 500)):
        (tmp_path / "file.txt").write_text("text", encoding="utf-8")
        (tmp_path / "file.txt").chmod(0o600 if turn else 0o644)
        sdist = tmp_path / f"{turn}.tar.gz"
        with tarfile.open(sdist, "w:gz") as tar:
            entry = tar.gettarinfo(tmp_path / "file.txt", "a/file.txt")
            entry.mtime = seconds
            tar.addfile(entry, (tmp_path / "file.txt").open("rb"))
        dated(sdist, 1_000_000_000)
        made.append(sdist.read_bytes())
    assert made[0] == made[1]
    with tarfile.open(sdist) as tar:
        assert tar.extractfile("a/file.txt").read() == b"text"


def test_a_wheelhouse_depends_on_its_files_alone(tmp_path: Path):
    folder = tmp_path / stem_of("1.2.0", WINDOWS, "3.12")
    folder.mkdir()
    for name in ("b.whl", "a.whl"):
        (folder / name).write_text(name, encoding="utf-8")
    pack(folder, tmp_path / "1.zip", 1_000_000_000)
    (folder / "a.whl").touch()
    pack(folder, tmp_path / "2.zip", 1_000_000_000)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == [f"{folder.name}/a.whl", f"{folder.name}/b.whl"]
        assert folder.name == "hemalum-1.2.0-wheelhouse-windows-py3.12"


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ("cause: Because torch==2.2.0 has no wheels with a matching Python ABI tag (e.g., `cp313`) and you", "torch"),
        ("cause: Because onnxruntime>=1.30.0 has no wheels with a matching\n platform tag", "onnxruntime"),
        ("cause: Because only grpcio-health-checking<2 is available and a.b has no usable wheels", "a.b"),
        ("ERROR: No matching distribution found for numba==0.68.1", "numba"),
    ],
)
def test_the_package_without_a_wheel_is_named(said: str, package: str):
    sentence = lacking(said, WINDOWS, "3.12")
    assert sentence.startswith(f"There is no wheel of {package} for Windows, x86-64 (windows) and Python 3.12; ")


def test_another_reason_is_told_as_it_is():
    assert lacking("cause: Because a>=2 and b<1 collide.", WINDOWS, "3.12").endswith("Because a>=2 and b<1 collide.")


def test_no_network_is_recognized():
    assert unreachable("cause: error sending request for url (http://127.0.0.1:9/simple/)")
    assert unreachable("WARNING: Retrying: Failed to establish a new connection: [Errno -2] Name or service not known")
    assert not unreachable("No matching distribution found for numba")


def test_a_build_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(command, **_):
        raise CommandFailure(command[0], "ERROR: no version satisfies setuptools>=77 (from versions: none)")

    monkeypatch.setattr(packages, "output", fail)
    with pytest.raises(ReleaseFailure, match="needs a network"):
        packages.build_packages(tmp_path, tmp_path, 0)


def test_platforms_and_pythons():
    assert [(system.name, python) for system, python in chosen("linux,windows", "3.11 3.12")] == [
        ("linux", "3.11"), ("linux", "3.12"), ("windows", "3.11"), ("windows", "3.12"),
    ]  # fmt: skip
    assert len(chosen("", "")) == 1
    with pytest.raises(ReleaseFailure, match="no platform 'amiga'; choose among linux"):
        chosen("amiga", "")
    with pytest.raises(ReleaseFailure, match=r"does not run on Python 3\.9; choose among 3\.10"):
        chosen("linux", "3.9")


def test_tags_go_from_new_to_old():
    tags = {system.name: system.tags for system in ALL}
    assert tags["linux"][0] == "manylinux_2_28_x86_64" and "manylinux2014_x86_64" in tags["linux"]
    assert tags["macos-arm64"][0] == "macosx_14_0_arm64" and "macosx_11_0_universal2" in tags["macos-arm64"]


def test_sums_and_sizes(tmp_path: Path):
    (tmp_path / "hemalum-1.2.0-py3-none-any.whl").write_bytes(bytes(2_500_000))
    (tmp_path / "catalog.json").write_text("{}", encoding="utf-8")
    write_contents(tmp_path, "1.2.0")
    write_sums(tmp_path)
    lines = (tmp_path / SUMS).read_text(encoding="utf-8").splitlines()
    assert {line.split("  ")[1] for line in lines} == {path.name for path in tmp_path.iterdir()} - {SUMS}
    for line in lines:
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert "| `hemalum-1.2.0-py3-none-any.whl` | 2.5 |" in (tmp_path / CONTENTS).read_text(encoding="utf-8")
