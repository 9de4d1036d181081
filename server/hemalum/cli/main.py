"""`hemalum …`: finds the command's module when it is called, so that `--help` answers at once."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import signal
import sys
import textwrap
from importlib.metadata import entry_points

import click

from hemalum import __version__
from hemalum.errors import HemalumError

COMMANDS = {
    "demo": ("hemalum.cli.demo", "Segment the bundled slide region, with server and client, and show the result."),
    "segment": ("hemalum.cli.segment", "Find the nuclei of slides or images."),
    "normalize": ("hemalum.cli.normalize", "Show slides or images in a reference stain."),
    "serve": ("hemalum.cli.serve", "Serve models to QuPath and other clients."),
    "models": ("hemalum.cli.models", "List, show, check or install models."),
    "check": ("hemalum.cli.check", "Tell what works on this machine, with a fix for what does not."),
    "project": ("hemalum.cli.project", "Work on whole QuPath projects."),
    "job": ("hemalum.cli.job", "Run many slides in a job that survives being killed."),
    "evaluate": ("hemalum.cli.evaluate", "Score predicted against reference label images."),
}

EXTRAS = {  # what a package that is not installed belongs to
    **dict.fromkeys(("torch", "timm", "safetensors", "onnx", "onnxscript", "matplotlib", "scipy", "tomli"), "training"),
    **dict.fromkeys(("dask", "distributed", "pyarrow"), "batch"),
    "paquo": "projects",
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs; `hemalum.commands` entry points join in."""

    def list_commands(self, ctx):
        return [*COMMANDS, *(e.name for e in entry_points(group="hemalum.commands"))]

    def get_command(self, ctx, name):
        if name in COMMANDS:
            return with_help(getattr(importlib.import_module(COMMANDS[name][0]), name))
        for entry in entry_points(group="hemalum.commands"):
            if entry.name == name:
                return with_help(entry.load())
        return None

    def format_commands(self, ctx, formatter):
        rows = [(name, help_text) for name, (_, help_text) in COMMANDS.items()]
        rows += [(e.name, e.load().get_short_help_str(100)) for e in entry_points(group="hemalum.commands")]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_help(command: click.Command) -> click.Command:
    """A command, and what is below it, with its help, which `python -OO` takes away with the docstrings."""
    if sys.flags.optimize >= 2:
        for below in getattr(command, "commands", {}).values():
            with_help(below)
        if command.help is None and command.callback is not None:
            with contextlib.suppress(OSError, SyntaxError):  # no source here
                function = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(command.callback)))).body[0]
                assert isinstance(function, ast.FunctionDef)
                command.help = ast.get_docstring(function)
    return command


def speakable() -> None:
    """Let no sentence end a run: what a console or a file cannot show (`→` in a Windows code page, a name that is not
    UTF-8) is written as `\\u2192`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # none at all in a program without a console
            stream.reconfigure(errors="backslashreplace")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hemalum")
def cli():
    """Hemalum: nuclei and stain normalization for H&E slides.  For research use only."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; whatever is wrong becomes one sentence on stderr and an exit code."""
    speakable()
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # as Ctrl+C, so that unfinished files are removed
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(cli.main(args=argv, prog_name="hemalum", standalone_mode=False) or 0)
    except HemalumError as error:
        sentence, code = str(error), error.exit_code
    except getattr(
        click.exceptions, "NoArgsIsHelpError", ()
    ) as error:  # a group without a command; older clicks print its help themselves
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        sentence, code = " ".join(error.format_message().split()).rstrip("."), error.exit_code
        if (context := getattr(error, "ctx", None)) is not None:
            sentence += f"; see `{context.command_path} --help`"
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        sentence, code = f"this needs {missing}, which is not installed; pip install 'hemalum[{EXTRAS[missing]}]'", 2
    except click.Abort:
        sentence, code = "interrupted; what was finished before is valid", 1
    click.echo(f"hemalum: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
