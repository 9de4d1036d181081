"""Pages of the Python API: a page for each room of the house, filled from docstrings by mkdocstrings."""

from __future__ import annotations

from pathlib import Path

PACKAGES = {"hemalum": Path("server", "hemalum"), "hemalum_training": Path("training", "hemalum_training")}
INSIDE = ("v1", "cli")  # generated stubs; commands have a page of their own


def pages(root: Path) -> dict[str, str]:
    """Address → Markdown."""
    found = {}
    for package in PACKAGES:
        for room, modules in rooms(root, package).items():
            lines = [f"# {room}", ""]
            for module in modules:
                lines += [f"::: {module}", ""]
            found[address(room)] = "\n".join(lines)
    return found


def addresses(root: Path) -> list[str]:
    """The pages in the order of the navigation."""
    return list(pages(root))


def address(room: str) -> str:
    return f"reference/python/{room.replace('.', '-')}.md"


def rooms(root: Path, package: str) -> dict[str, list[str]]:
    """Room → its modules, each by full name; what lies loose in the package is one room."""
    folder = root / PACKAGES[package]
    found = {package: [package, *_modules(folder, package)]}
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        if inner.name not in INSIDE:
            room = f"{package}.{inner.name}"
            found[room] = [room, *_modules(inner, room)]
    return found


def _modules(folder: Path, package: str) -> list[str]:
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return [f"{package}.{name}" for name in names]
