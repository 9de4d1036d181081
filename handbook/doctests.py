"""A griffe extension: examples in docstrings (`>>> …` up to an empty line) are shown as code."""

from __future__ import annotations

from griffe import Extension, Object


class Doctests(Extension):
    """Fences the examples of every docstring before it is rendered."""

    def on_object(self, *, obj: Object, **_) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    r"""Markdown in which each run of lines that begins with a prompt is a block of code.

    >>> fenced("Adds.\n\n>>> 1 + 1\n2\n\nNo more.").splitlines()[2:6]
    ['```pycon', '>>> 1 + 1', '2', '```']
    """
    lines: list[str] = []
    margin = None  # of the example that is open
    for line in text.split("\n"):
        if margin is not None and not line.strip():
            lines.append(margin + "```")
            margin = None
        elif margin is None and line.lstrip().startswith(">>> "):
            margin = line[: len(line) - len(line.lstrip())]
            lines.append(margin + "```pycon")
        lines.append(line)
    if margin is not None:
        lines.append(margin + "```")
    return "\n".join(lines)
