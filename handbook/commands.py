"""The page of all commands: what `hemalum … --help` prints."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hemalum.cli.main import cli

INTRODUCTION = """# Commands

What `--help` prints. Exit codes: 0 done, 1 lost in mid-run, 2 nothing could be done, 3 some inputs or tiles failed and
the rest is done.
"""


def page() -> str:
    """Markdown with a heading for each command."""
    sections = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps(cli, "hemalum", None)]
    return "\n".join([INTRODUCTION, *sections])


def helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Name and help of a command and of all below it."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, max_content_width=100)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found and not found.hidden:
                yield from helps(found, f"{name} {child}", context)
