"""The house: imports run downward, from room to room and without circles; see docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SERVER, TRAINING = REPOSITORY / "server" / "hemalum", REPOSITORY / "training" / "hemalum_training"

# from top to bottom; rooms of one floor may use each other as long as no circle arises
FLOORS = {
    "hemalum": [
        {"cli"},
        {"projects"},
        {"service", "client", "jobs"},
        {"wire"},
        {"runs"},
        {"engine", "sinks"},
        {"slides", "nuclei"},
        {"models", "stain", "grid", "scoring"},
        {"files", "lock", "errors", "compiled", "v1"},
    ],
    "hemalum_training": [
        {"cli", "improve"},
        {"stages"},
        {"report", "studies"},
        {"pseudo", "package", "stain"},
        {"loops"},
        {"scoring"},
        {"networks", "data"},
        {"config", "store"},
    ],
}
LOOSE = {
    "hemalum": {"__init__", "__main__", "errors", "compiled", "files", "lock"},
    "hemalum_training": {"__init__", "cli", "stages", "store"},
}
EXEMPT = {"hemalum": {"__init__", "__main__"}, "hemalum_training": {"__init__"}}
FROM_TRAINING = {"cli.options"}  # the only module of hemalum's command line that training may use


def modules(package: Path) -> Iterator[tuple[str, ast.Module]]:
    """Dotted name below the package, and the parsed file."""
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """What a file imports of a package, dotted and below it; imports inside functions count, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written by full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(package + "."):
                yield name.removeprefix(package + ".")


def arrows(package: Path) -> set[tuple[str, str]]:
    """Pairs of modules (user, used)."""
    files = dict(modules(package))
    found = set()
    for user, tree in files.items():
        for name in imported(tree, package.name):
            used = name if name in files else name.rpartition(".")[0]
            if used and used != user:
                found.add((user, used))
    return found


def room(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("package", [SERVER, TRAINING], ids=lambda package: package.name)
def test_every_module_lies_in_a_room_that_has_a_floor(package):
    floors = set().union(*FLOORS[package.name])
    loose = {path.stem for path in package.glob("*.py")}
    assert loose == LOOSE[package.name]
    for name, _ in modules(package):
        assert room(name) in floors | EXEMPT[package.name] | {"__init__"}, f"{name} lies in no room of the house"


@pytest.mark.parametrize("package", [SERVER, TRAINING], ids=lambda package: package.name)
def test_no_import_climbs(package):
    floor_of = {name: floor for floor, names in enumerate(FLOORS[package.name]) for name in names}
    climbing = [
        f"{user} imports {used}"
        for user, used in sorted(arrows(package))
        if room(user) in floor_of and room(used) in floor_of and floor_of[room(user)] > floor_of[room(used)]
    ]
    assert not climbing, "\n".join(climbing)


@pytest.mark.parametrize("package", [SERVER, TRAINING], ids=lambda package: package.name)
@pytest.mark.parametrize("of", [room, str], ids=["rooms", "modules"])
def test_no_circle(package, of):
    below: dict[str, set[str]] = {}
    for user, used in arrows(package):
        if of(user) != of(used) and user not in EXEMPT[package.name]:
            below.setdefault(of(user), set()).add(of(used))
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        assert name not in way, "a circle: " + " → ".join([*way[way.index(name) :], name])
        if name in done:
            return
        for other in sorted(below.get(name, ())):
            visit(other, [*way, name])
        done.add(name)

    for name in sorted(below):
        visit(name, [])


@pytest.mark.parametrize("package", [SERVER, TRAINING], ids=lambda package: package.name)
def test_the_page_about_the_house_names_every_module(package):
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name, _ in modules(package):
        inside, _, module = name.rpartition(".")
        if inside not in {"", "cli", "v1"}:
            assert f"`{module}`" in page, f"docs/architecture.md does not name {package.name}.{name}"


def test_training_uses_nothing_of_the_server_above_its_commands_options():
    for name, tree in modules(TRAINING):
        for used in imported(tree, "hemalum"):
            assert room(used) != "cli" or any(used.startswith(allowed) for allowed in FROM_TRAINING), (
                f"{name} imports hemalum.{used}"
            )


def test_the_server_never_imports_training():
    for name, tree in modules(SERVER):
        assert not list(imported(tree, "hemalum_training")), f"{name} imports hemalum_training"
