"""What is released: version, changelog section and the committed files."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from release.failure import CommandFailure, ReleaseFailure, output

VERSION_FILE = Path("server", "hemalum", "__init__.py")
RELEASABLE = re.compile(r"\d+\.\d+\.\d+(-?rc\d+)?")


def version_of(root: Path) -> str:
    """`hemalum.__version__`, read without an import; the only place where the version is written.

    >>> version_of(Path()).count(".")
    2
    """
    found = re.search(r'^__version__ = "(.+)"$', (root / VERSION_FILE).read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ReleaseFailure(f'{VERSION_FILE} states no __version__; write it as __version__ = "1.2.3"')
    return found[1]


def tag_of(version: str) -> str:
    """The release's tag, as QuPath's extension manager reads it.

    >>> tag_of("0.2.0"), tag_of("0.2.0rc1")
    ('v0.2.0', 'v0.2.0-rc1')
    """
    return "v" + re.sub(r"-?rc", "-rc", version)


def notes_of(version: str, changelog: str) -> str:
    """The changelog's section of a version, without its heading.

    >>> notes_of("0.2.0", "# Changelog" + chr(10) + "## [0.2.0] - 2026-12-01" + chr(10) + "- Faster.")
    '- Faster.'
    """
    section = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog + "\n", re.MULTILINE | re.DOTALL
    )
    text = section[1].strip() if section else ""
    if not text:
        raise ReleaseFailure(
            f"CHANGELOG.md has no section [{version}]; write what is new under the heading '## [{version}] - DATE', "
            "or change __version__"
        )
    return text


def check_releasable(root: Path, version: str) -> None:
    """Refuses a version that is none, a changed working tree, and a tag of another version."""
    if not RELEASABLE.fullmatch(version):
        raise ReleaseFailure(f"Version {version} cannot be released; a release is named like 1.2.3 or 1.2.3rc1")
    try:
        changed = output(["git", "status", "--porcelain", "--untracked-files=no"], root).splitlines()
        tags = output(["git", "tag", "--points-at", "HEAD"], root).split()
    except (CommandFailure, FileNotFoundError):
        raise ReleaseFailure(f"{root} is not a git checkout; a release is built from a commit") from None
    if changed:
        raise ReleaseFailure(
            f"{len(changed)} files differ from the last commit ({changed[0][3:]} …); commit or undo the changes, "
            "since a release is built from a commit"
        )
    versions = [tag for tag in tags if re.match(r"v\d", tag)]
    if versions and tag_of(version) not in versions:
        raise ReleaseFailure(f"The commit is tagged {versions[0]}, but __version__ is {version}; make the two agree")


def commit_seconds(root: Path) -> int:
    """When HEAD was committed, in Unix seconds: the date of all built files."""
    return int(output(["git", "log", "-1", "--format=%ct"], root))


def export(root: Path, folder: Path) -> Path:
    """Writes the files of HEAD into a folder."""
    archive = folder / "source.tar"
    output(["git", "archive", "--format=tar", f"--output={archive}", "HEAD"], root)
    target = folder / "source"
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    return target
