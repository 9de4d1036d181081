"""The one exception a release ends with, and commands that end in it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ReleaseFailure(Exception):
    """One sentence that says what is wrong and what to do."""


def output(
    command: Sequence[str | Path], folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What a command printed to stdout.

    Raises:
        CommandFailure: it ended with another code than 0.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        raise CommandFailure(command[0], done.stdout + done.stderr)
    return done.stdout


class CommandFailure(Exception):
    """A command failed; `said` is all it printed."""

    def __init__(self, command: str | Path, said: str):
        super().__init__(f"{command} failed")
        self.said = said

    def tail(self, lines: int = 3) -> str:
        """The end of what it printed, as one line."""
        return " ".join(" ".join(self.said.split("\n")[-lines - 1 :]).split())
