"""Checkpoints that survive being killed, and the weights that a training begins from."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors

from hemalum.errors import DiskFull, UsageError
from hemalum.files import whole_file
from hemalum.models import Model, find
from hemalum.models.card import Card
from hemalum_training.store import out_of_space, write_json

INITIAL = "initial.json"
FREE = ("learning_rate", "clip")   # may change in mid-training: what is advised where a loss is not a number


def save(path: Path, state: dict) -> None:
    """Write `state` so that `path` is at any moment the old or the new file, whole.

    Raises:
        DiskFull: no space is left, or the folder is lost; the old file stays.
    """
    try:
        with whole_file(path) as part:
            torch.save(state, part.file)
    except (DiskFull, RuntimeError) as error:       # the latter is what torch makes of a full disk
        if out_of_space(error):
            sentence = f"no space left for {path}; free some and run again, the last checkpoint is whole."
            raise DiskFull(sentence) from error
        raise


def load(path: Path, expected: dict) -> dict | None:
    """The state in `path`, or None if there is none.

    Args:
        expected: what it must have been made with, by key; tables inside it are compared key by key.  A key that it
            does not name was not known when it was made.

    Raises:
        UsageError: the checkpoint belongs to another configuration, named by the first key that differs; or it is
            damaged.
    """
    if not path.is_file():
        return None
    state = _read(path)
    refuse_other(path, state["config"], expected)
    return state


def refuse_other(path: Path, made_with: dict, expected: dict) -> None:
    """Refuse what was made with another configuration, see `load`."""
    before = _flat(made_with)
    for key, value in _flat(expected).items():
        if key in before and before[key] != value:
            raise UsageError(f"{path} was made with {key} = {before[key]!r}, the configuration says {value!r}; "
                             "choose another output folder or restore the configuration.")


def _flat(table: dict, prefix: str = "") -> dict:
    """
    >>> _flat({"seed": 1, "network": {"fine": 8}})
    {'seed': 1, 'network.fine': 8}
    """
    flat = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _read(path: Path) -> dict:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        raise UsageError(f"{path} is damaged or holds no weights of a training; delete it or name another.") from None


def initial_weights(source: str | Path) -> dict[str, torch.Tensor]:
    """Weights to begin from: a run's `weights.pt`, a model folder, or the id of an installed model.

    Raises:
        UsageError: neither; UnknownModel, DamagedModel: as `hemalum.models.find`.
    """
    path = Path(source)
    if path.is_file():
        state = _read(path)
        if "network" not in state:
            raise UsageError(f"{path} holds no averaged weights; name the weights.pt of a run that is finished.")
        return state["network"]
    model = model_of(source)
    if model.path("weights.safetensors") is None:
        raise UsageError(f"model {model.id} has no weights.safetensors, so training cannot begin from it; "
                         "name another model.")
    weights = load_tensors(model.verified("weights.safetensors"))
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def last_good(out: Path) -> str:
    """Which checkpoint is left where a number became none, and what helps: the end of a sentence."""
    path = out / "checkpoint.pt"
    left = f"the last good checkpoint is {path}" if path.is_file() else "there is no checkpoint yet"
    return f"{left}, lower learning_rate and run again."


def note_initial(source: str | Path | None, out: Path) -> None:
    """Keep in OUT which weights a training began from, for the card of what comes of it.

    Kept are `name` and, of a model, `licence`.

    Raises:
        UsageError: the training in OUT began from other weights.
    """
    note, begun = out / INITIAL, {} if source is None else _described(source)
    if (out / "checkpoint.pt").is_file():
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        if known.get("name") != begun.get("name"):
            raise UsageError(f"the training in {out} began from {known.get('name', 'no model')}, not from "
                             f"{begun.get('name', 'none')}; choose another output folder or the --init it had.")
    elif begun:
        write_json(note, begun)


def _described(source: str | Path) -> dict:
    path = Path(source)
    if path.is_file():
        return {"name": f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"}
    model = model_of(source)
    return {"name": f"model {model.id} {model.card.version}", "licence": model.card.licence}


def model_of(source: str | Path) -> Model:
    """The model package in a folder, or of this id; raises as `hemalum.models.find`."""
    path = Path(source)
    return Model(Card.read(path), path) if (path / "card.json").is_file() else find(str(source))
