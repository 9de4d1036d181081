"""The page of all messages: each error's class, and every sentence that is raised, found in the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hemalum import errors
from hemalum.errors import HemalumError

SOURCES = ("server/hemalum", "training/hemalum_training")
BUNDLES = "qupath-extension/*/src/main/resources/**/*.properties"
TRANSLATED = re.compile(r"_[a-z]{2}(_[A-Z]{2})?$")
NOT_SAID = re.compile(r"^(menu|button|dialog|preference|install|connection|run|stage|where|stain|tooltip|tip)\b")
INTRODUCTION = """# Every message

Every message is one sentence that says what is wrong and, after the semicolon, what to do. `…` stands for what
differs from case to case. The search of this site finds a message by any of its words.

For programs: a service answers with a gRPC status and, in the trailer `hemalum-error`, with the class; the command line
ends with the exit code.
"""


def page(root: Path) -> str:
    """Markdown: a table of the classes, then the sentences of each class, then those of QuPath's extension."""
    said = sentences(root)
    lines = [INTRODUCTION, "## Classes", "", "| class | means | exit code | gRPC status |", "|---|---|---:|---|"]
    for kind in classes():
        link = f"[{kind.__name__}](#{kind.__name__.lower()})" if kind.__name__ in said else kind.__name__
        lines.append(f"| {link} | {_cell(_first(kind))} | {kind.exit_code} | `{kind.grpc_status}` |")
    for kind in classes():
        if kind.__name__ in said:
            lines += ["", f"## {kind.__name__}", "", _first(kind), "", "| message | what to do |", "|---|---|"]
            lines += [_row(sentence) for sentence in said[kind.__name__]]
    lines += ["", "## In QuPath", "", "Beside the server's own sentences, which QuPath shows as they are:", ""]
    lines += [f"* {text}" for text in extension(root)]
    return "\n".join([*lines, ""])


def classes() -> list[type[HemalumError]]:
    """The classes of errors.py, in its order."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HemalumError)]
    return [kind for kind in found if kind is not HemalumError]


def sentences(root: Path) -> dict[str, list[str]]:
    """Class → what it is raised with, without repetition."""
    found: dict[str, dict[str, None]] = {}
    names = {kind.__name__ for kind in classes()}
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            for name, sentence in raised(ast.parse(path.read_text(encoding="utf-8"))):
                if name in names:
                    found.setdefault(name, {})[sentence] = None
    return {name: sorted(texts, key=str.lower) for name, texts in found.items()}


def raised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Class and sentence of each error that is made in a module.

    >>> list(raised(ast.parse('raise UsageError(f"{path} is a folder; name a file")')))
    [('UsageError', '… is a folder; name a file')]
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            sentence = template(node.args[0])
            if len(sentence.replace("…", "").split()) >= 3:
                yield node.func.id, sentence


def template(node: ast.expr) -> str:
    """A string as it is written, with `…` for what is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return "…"


def extension(root: Path) -> list[str]:
    """Sentences of the extension's resource bundles, in English."""
    found: dict[str, None] = {}
    for bundle in sorted(root.glob(BUNDLES)):
        if TRANSLATED.search(bundle.stem) or bundle.stem == "build":
            continue
        for line in bundle.read_text(encoding="utf-8").splitlines():
            key, equals, text = line.partition("=")
            if equals and not key.startswith("#") and not NOT_SAID.match(key.strip()):
                text = re.sub(r"%(\d\$)?[-.\d,]*[sdf]|\{\d[^}]*\}", "…", text.strip()).replace("\\n", " ")
                if len(text.split()) >= 4:
                    found[text.replace("%%", "%")] = None
    return [_cell(text) for text in sorted(found, key=str.lower)]


def _row(sentence: str) -> str:
    what, _, remedy = sentence.partition("; ")
    return f"| {_cell(what)} | {_cell(remedy.removesuffix('.'))} |"


def _cell(text: str) -> str:
    """One cell of a table; what stands in backticks is code and stays as it is."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*\[<_])", r"\\\1", parts[i])
    return "`".join(parts)


def _first(kind: type) -> str:
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
