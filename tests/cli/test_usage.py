"""What is wrong with a command line is said in one sentence, whatever command and whoever finds it."""

import sys

import pytest

from hemalum.cli.main import main


def said(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line called in this process."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code or 0, *capsys.readouterr()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nonsense"], "'nonsense'; see `hemalum --help`"),
        (["segment"], "INPUT"),
        (["segment", "x.png"], "'--output'; see `hemalum segment"),
        (["segment", "x.png", "-o", "out", "--threads", "0"], "--threads"),
        (["segment", "x.png", "-o"], "requires an argument"),
        (["serve", "--port", "high"], "'high'"),
        (["normalize", "x.png", "-o", "out", "--stain", "blue"], "'blue' is not one of"),
        (["models", "show", "nobody"], "there is no model 'nobody'"),
        (["segment", "x.png", "y.png", "-o", "z", "--device", "tpu"], "'tpu' is not one of"),
        (["segment", "x.png", "-o", ""], "the output folder has no name"),
    ],
)
def test_one_sentence(capsys, arguments, words):
    code, out, err = said(capsys, *arguments)
    assert code == 2 and not out and words in err and err.startswith("hemalum: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("arguments", [[], ["models"], ["job"]])
def test_a_group_without_a_command_shows_its_commands(capsys, arguments):
    _, out, err = said(capsys, *arguments)
    assert "Commands:" in out + err


def test_help_and_version_succeed(capsys):
    assert said(capsys, "--version")[0] == 0
    assert said(capsys, "segment", "--help")[0] == 0


def test_a_package_that_is_not_installed_is_named_with_its_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "run.toml").write_text("")
    code, _, err = said(capsys, "train", "student", str(tmp_path / "run.toml"))
    assert code == 2 and err == "hemalum: this needs torch, which is not installed; pip install 'hemalum[training]'\n"
