"""Version, notes and the state of the checkout."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from release.failure import ReleaseFailure
from release.source import check_releasable, export, notes_of, tag_of, version_of

import hemalum

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n- New.\n\n## [1.1.0] - 2026-11-01\n- Old.\n"


@pytest.fixture
def checkout(tmp_path: Path):
    def git(*arguments: str) -> None:
        names = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    git("add", "kept.txt")
    git("commit", "-qm", "first")
    return tmp_path, git


def test_the_version_is_written_once():
    version = version_of(ROOT)
    assert version == hemalum.__version__
    for path in (ROOT / "pyproject.toml", *ROOT.glob("qupath-extension/**/pom.xml")):
        own = re.sub(r"<plugin>.*?</plugin>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert f"<version>{version}<" not in own and f'"{version}"' not in own, path


def test_this_version_has_notes():
    assert notes_of(version_of(ROOT), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_notes_are_one_section():
    assert notes_of("1.2.0", CHANGELOG) == "- New."
    assert notes_of("1.1.0", CHANGELOG) == "- Old."


@pytest.mark.parametrize("version", ["1.3.0", "1.2", "Unreleased"])
def test_a_missing_or_empty_section_is_said(version: str):
    with pytest.raises(ReleaseFailure, match=re.escape(f"no section [{version}]; write")):
        notes_of(version, CHANGELOG)


def test_a_changed_file_is_named(checkout):
    folder, _ = checkout
    (folder / "untracked.txt").write_text("left alone", encoding="utf-8")
    check_releasable(folder, "1.2.0")
    (folder / "kept.txt").write_text("changed", encoding="utf-8")
    with pytest.raises(ReleaseFailure, match=r"1 files differ .*kept\.txt.*; commit or undo"):
        check_releasable(folder, "1.2.0")


def test_a_tag_of_another_version_is_refused(checkout):
    folder, git = checkout
    git("tag", "v1.2.0-rc1")
    check_releasable(folder, "1.2.0rc1")
    with pytest.raises(ReleaseFailure, match=r"tagged v1\.2\.0-rc1, but __version__ is 1\.2\.0;"):
        check_releasable(folder, "1.2.0")
    git("tag", "v1.2.0")
    check_releasable(folder, "1.2.0")


@pytest.mark.parametrize("version", ["1.2", "1.2.0.dev1", "1.2.0+local"])
def test_what_is_no_release_is_refused(checkout, version: str):
    with pytest.raises(ReleaseFailure, match="cannot be released; a release is named like"):
        check_releasable(checkout[0], version)


def test_a_folder_without_history_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ReleaseFailure, match="not a git checkout; a release is built from"):
        check_releasable(tmp_path, "1.2.0")


def test_only_committed_files_are_built(checkout, tmp_path_factory: pytest.TempPathFactory):
    folder, _ = checkout
    (folder / "untracked.txt").write_text("left out", encoding="utf-8")
    exported = export(folder, tmp_path_factory.mktemp("work"))
    assert [path.name for path in exported.iterdir()] == ["kept.txt"]


def test_tags():
    assert tag_of("1.2.0") == "v1.2.0"
    assert tag_of("1.2.0rc3") == "v1.2.0-rc3" == tag_of("1.2.0-rc3")
