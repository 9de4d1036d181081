"""`python -m release`: what can be wrong is said before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from release import __main__ as command
from release.failure import ReleaseFailure


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise AssertionError("built")

    monkeypatch.setattr(command, "export", refuse)
    monkeypatch.setattr(command, "check_releasable", lambda *_: None)
    monkeypatch.setattr(command, "find_jdk", lambda _: "/jdk")


def sentence(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert command.main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("nothing_is_built")
def test_faults_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    assert "choose among" in sentence(capsys, "--platforms", "amiga")
    assert "choose among" in sentence(capsys, "--pythons", "2.7")
    assert "not encrypted" in sentence(capsys, "--url", "http://example.org")
    (tmp_path / "thesis.docx").write_text("", encoding="utf-8")
    assert "holds something else than a release" in sentence(capsys, "-o", str(tmp_path))
    assert (tmp_path / "thesis.docx").exists()

    def no_jdk(_):
        raise ReleaseFailure("No JDK")

    monkeypatch.setattr(command, "find_jdk", no_jdk)
    assert sentence(capsys) == "No JDK"


@pytest.mark.usefixtures("nothing_is_built")
def test_a_jdk_is_needed_only_for_the_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "find_jdk", lambda _: pytest.fail("asked for a JDK"))
    with pytest.raises(AssertionError, match="built"):
        command.main(["--without-extension", "-o", str(tmp_path / "dist")])
