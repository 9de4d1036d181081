"""Where models are looked for, and how they are checked and installed.

Folders, first match wins: those given (`--models DIR`, `HEMALUM_MODELS`), the user's data folder, the package itself.
A folder holds model folders (each with a `card.json`) or is one.  Nothing is cached between calls but by file stamp, so
a model that is copied into a folder while the server runs is found at the next request.

>>> [model.card.id for model in list_models([])] == sorted(model.card.id for model in list_models([]))
True
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hemalum.errors import DamagedModel, NotWritable, UnknownModel, UsageError
from hemalum.models.card import Card

DEFAULT = "nuclei"
GENERATOR = "generator.onnx"  # of a package that can also translate a tile into its reference stain


@dataclass(frozen=True)
class Model:
    """A model package on disk: its card and its folder."""

    card: Card
    folder: Path

    @property
    def id(self) -> str:
        return self.card.id

    @property
    def digest(self) -> str:
        """sha256 of `model.onnx`, the name of these weights in records and nucleus ids."""
        return self.card.files["model.onnx"]

    @property
    def translates(self) -> bool:
        """Whether it has a generator (`hemalum.engine.generator`)."""
        return GENERATOR in self.card.files

    def path(self, name: str) -> Path | None:
        """The file `name` if the card lists it, else `None`."""
        return self.folder / name if name in self.card.files else None

    def verified(self, name: str) -> bytes:
        """Content of file `name`; `DamagedModel` unless it has the sha256 of the card."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise DamagedModel(
                f"{self.folder / name} cannot be read ({error.strerror}); install the model {self.id} again"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.card.files.get(name):
            raise DamagedModel(
                f"{self.folder / name} is damaged: its sha256 is not the card's; install the model {self.id} again"
            )
        return content


def user_folder() -> Path:
    """The user's own model folder (it need not exist).

    Not `platformdirs`': on a Mac that follows XDG_DATA_HOME and on Windows it does not follow LOCALAPPDATA, so the
    models of some users would be lost.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "hemalum" / "models"


def search_path(folders: Iterable[str | Path] = ()) -> list[Path]:
    """All folders in the order they are searched; `UsageError` if one of `folders` is no folder."""
    given = [Path(folder) for folder in folders]
    for folder in given:
        if not folder.is_dir():
            raise UsageError(f"model folder {folder} does not exist; give a folder that holds models")
    given += [Path(folder) for folder in os.environ.get("HEMALUM_MODELS", "").split(os.pathsep) if folder]
    return [*given, user_folder(), Path(__file__).parent]


def list_models(folders: Iterable[str | Path] = (), broken: list[str] | None = None) -> list[Model]:
    """Every model that can be used, sorted by id.

    A card that breaks the contract is left out; its sentence is appended to `broken` when a list is given.
    """
    models: dict[str, Model] = {}
    for folder in _model_folders(folders):
        try:
            model = _model(folder)
        except DamagedModel as error:
            if broken is not None:
                broken.append(str(error))
            continue
        models.setdefault(model.id, model)
    return [models[name] for name in sorted(models)]


def find(name: str = DEFAULT, folders: Iterable[str | Path] = ()) -> Model:
    """The model called `name`, or in the folder `name`.

    Raises:
        UnknownModel: none of that id; the message lists those there are.
        DamagedModel: there is one, or `folders` name a package itself, but its card breaks the contract.
    """
    folders = list(map(Path, folders))
    if os.sep in name and (Path(name) / "card.json").is_file():
        return _model(Path(name))
    for folder in _model_folders(folders):
        try:
            model = _model(folder)
        except DamagedModel:  # another model of this id further on is not what was asked for
            if folder in folders or name in (folder.name, _stated_id(folder)):
                raise
            continue
        if model.id == name:
            return model
    known = ", ".join(model.id for model in list_models(folders)) or "none"
    raise UnknownModel(
        f"there is no model {name!r}; models found: {known}. "
        "Add a folder with --models DIR or see `hemalum models list`"
    )


def check(model: Model) -> list[str]:
    """Problems of a package, one sentence each: files missing or damaged."""
    problems = []
    for name in model.card.files:
        try:
            model.verified(name)
        except DamagedModel as error:
            problems.append(str(error))
    return problems


def install(folder: str | Path, into: Path | None = None) -> Model:
    """Copy the model package in `folder` to the user's model folder, replacing an older one of the same id at once.

    Raises:
        UsageError: there is no such folder, or it holds no model.
        DamagedModel: card or file not as the contract says; nothing is copied.
        NotWritable: the model folder cannot be written.
    """
    source = Path(folder)
    if not (source / "card.json").is_file():
        raise UsageError(f"{source} holds no model; give a folder with a card.json, such as a training's OUT/package")
    model = _model(source)
    if problems := check(model):
        raise DamagedModel(problems[0])
    target = (into or user_folder()) / model.id
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".installing-") as scratch:
            fresh, old = Path(scratch) / "new", Path(scratch) / "old"
            fresh.mkdir()
            for name in ("card.json", *model.card.files):
                shutil.copyfile(source / name, fresh / name)
            if target.exists():
                os.replace(target, old)
            try:
                os.replace(fresh, target)
            except OSError:
                if old.exists():
                    os.replace(old, target)
                raise
    except OSError as error:
        raise NotWritable(
            f"{target} cannot be written ({error.strerror}); check its permissions and free space"
        ) from error
    return _model(target)


def _model_folders(folders: Iterable[str | Path]) -> Iterable[Path]:
    for folder in search_path(folders):
        if (folder / "card.json").is_file():
            yield folder
        elif folder.is_dir():
            packages = (card.parent for card in folder.glob("*/card.json"))
            yield from sorted(package for package in packages if not package.name.startswith("."))


def _stated_id(folder: Path) -> str | None:
    """The id in a card that breaks the contract, where it can be read."""
    try:
        return json.loads((folder / "card.json").read_text(encoding="utf-8")).get("id")
    except (OSError, ValueError, AttributeError):
        return None


def _model(folder: Path) -> Model:
    card = folder / "card.json"
    try:
        stamp = card.stat()
    except OSError as error:
        raise DamagedModel(f"{card} cannot be read ({error.strerror}); install the model again") from error
    return _read(folder, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=64)
def _read(folder: Path, _mtime: int, _size: int) -> Model:
    return Model(Card.read(folder), folder)
