"""The configuration of an improvement, and the card of its model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from hemalum.files import commit_text
from hemalum_training.config.config import Config, LabelledSet, load_config
from hemalum_training.config.data import UnlabelledSet
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.improve.plan import Request, network_of
from hemalum_training.package.card import card_of, counts_by_set, licence_of, pseudo_data

SET = "project"     # name of the training set in data/ and in the configuration
UNKNOWN = "unknown"  # its masks of what nobody knows
OWN = "own"         # licence of the user's own images
TILES = 200         # unlabelled tiles that the model in use is asked to label, and that are kept


def configuration(request: Request, out: Path, kept: list[str]) -> Config:
    """Few steps from the model in use, written into `out` for `hemalum train` and read back; or all of `request.full`.

    Their rate, and how far towards the trained weights the result lies: `hemalum_training.improve.plan.fine_tuning`.
    """
    tissue = request.pseudo and any((out / "data" / SET / "unlabelled").iterdir())
    if request.full:
        return _whole(request, out / "data", kept, tissue)

    base = request.base
    text = f"# {base.id} {base.card.version} fine-tuned on corrected nuclei; written by `hemalum improve`.\n"
    text += f'licences = ["{OWN}"]\n'
    text += _table("network", network_of(base).as_dict()) + _table("schedule", vars(request.schedule))
    text += _table(f"sets.{SET}", {"licence": OWN, "exclude": kept, "unknown": UNKNOWN})
    if tissue:
        text += _table(f"unlabelled.{SET}", {"licence": OWN}) + _table("pseudo", {"pool": TILES, "keep": TILES})
    path = out / f"{request.name}.toml"
    commit_text(path, text)
    return load_config(path)


def _table(head: str, values: dict) -> str:
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()]
    return f"\n[{head}]\n" + "".join(lines)


def _whole(request: Request, data: Path, kept: list[str], tissue: bool) -> Config:
    """The configuration `request.full` with the project as a further set; its sets are linked into `data`."""
    config, there = load_config(request.full), request.data.resolve()
    for name in config.sets:
        if not (data / name).exists():
            (data / name).symlink_to(there / name, target_is_directory=True)
    unlabelled = {}
    for name, entry in config.unlabelled.items():
        unlabelled[name] = dataclasses.replace(entry, folder=str(there / (entry.folder or name)))
    if tissue:
        unlabelled[SET] = UnlabelledSet(OWN)
    return dataclasses.replace(
        config,
        name=request.name,
        licences=[*config.licences, OWN],
        zero_shot={},
        sets={**config.sets, SET: LabelledSet(OWN, exclude=kept, unknown=UNKNOWN)},
        unlabelled=unlabelled,
    )


def card(request: Request, config: Config, images: list[LabelledImage], run: Path) -> dict:
    """What the card says beside thresholds, scores and files.

    `images`: those learned from; `run`: the folder of the training.
    """
    base = request.base
    counts = counts_by_set(config, images)
    pseudo = pseudo_data(config, run) if (run / "pseudo" / "teacher.json").is_file() else []
    fields = card_of(config, counts, pseudo)
    if request.full:
        licences = {entry.licence for entry in [*config.sets.values(), *config.unlabelled.values()]}
        fields["description"] = f"{request.full.stem} with the user's corrected nuclei."
        fields["licence"] = licence_of(licences - {OWN})
    else:
        fields["description"] = f"{base.id} {base.card.version}, fine-tuned on the user's corrected nuclei."
        fields["licence"] = dict(base.card.licence)
        fields["data"] = [*base.card.data, *fields["data"]]
    fields["licence"]["why"] += "; learned from the user's own images, too"
    rebuild = f"hemalum improve PROJECT --name {request.name} --model {base.id}"
    if request.full:
        rebuild += f" --full {request.full.name}"
    return fields | {"id": request.name, "thresholds": dict(base.card.thresholds), "rebuild": rebuild}
