"""The configuration of an improvement, and the card of its model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from hemalum.files import commit
from hemalum_training.config.config import Config, LabelledSet, load_config
from hemalum_training.config.data import UnlabelledSet
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.improve.plan import Request, network_of
from hemalum_training.package.card import card_of, licence_of, pseudo_data

SET = "project"     # name of the training set in data/ and in the configuration
OWN = "own"         # licence of the user's own images
TILES = 200         # unlabelled tiles that the model in use is asked to label, and that are kept


def configuration(request: Request, out: Path, kept: list[str]) -> Config:
    """Few steps from the model in use, written into `out` for `hemalum train` and read back; or the whole of `request.full`.

    Their rate, and how far towards the trained weights the result lies: `improve_plan.fine_tuning`.
    """
    tissue = request.pseudo and any((out / "data" / SET / "unlabelled").iterdir())
    if request.full:
        return _whole(request, out / "data", kept, tissue)

    def table(head: str, values: dict) -> str:
        return f"\n[{head}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())

    text = f"# {request.base.id} {request.base.card.version} fine-tuned on corrected nuclei; written by `hemalum improve`.\nlicences = [\"{OWN}\"]\n"
    text += table("network", network_of(request.base).as_dict()) + table("schedule", vars(request.schedule))
    text += table(f"sets.{SET}", {"licence": OWN, "exclude": kept})
    if tissue:
        text += table(f"unlabelled.{SET}", {"licence": OWN}) + table("pseudo", {"pool": TILES, "keep": TILES})
    path = out / f"{request.name}.toml"
    commit(path, lambda file: file.write(text.encode("utf-8")))
    return load_config(path)


def _whole(request: Request, data: Path, kept: list[str], tissue: bool) -> Config:
    """The configuration `request.full` with the project as a further set; its sets are linked into `data`."""
    config, there = load_config(request.full), request.data.resolve()
    for name in config.sets:
        if not (data / name).exists():
            (data / name).symlink_to(there / name, target_is_directory=True)
    unlabelled = {name: dataclasses.replace(entry, folder=str(there / (entry.folder or name))) for name, entry in config.unlabelled.items()}
    return dataclasses.replace(
        config, name=request.name, licences=[*config.licences, OWN], zero_shot={},
        sets={**config.sets, SET: LabelledSet(OWN, exclude=kept)}, unlabelled={**unlabelled, **({SET: UnlabelledSet(OWN)} if tissue else {})},
    )  # fmt: skip


def card(request: Request, config: Config, images: list[LabelledImage], run: Path) -> dict:
    """What the card says beside thresholds, scores and files.  `images`: those learned from; `run`: the folder of the training."""
    base = request.base
    counts = {name: sum(image.name.startswith(name + "/") for image in images) for name in config.sets}
    found = card_of(config, counts, pseudo_data(config, run) if (run / "pseudo" / "teacher.json").is_file() else [])
    if request.full:
        found["description"] = f"{request.full.stem} with the user's corrected nuclei."
        found["licence"] = licence_of({entry.licence for entry in [*config.sets.values(), *config.unlabelled.values()]} - {OWN})
    else:
        found["licence"], found["data"] = dict(base.card.licence), [*base.card.data, *found["data"]]
        found["description"] = f"{base.id} {base.card.version}, fine-tuned on the user's corrected nuclei."
    found["licence"]["why"] += "; learned from the user's own images, too"
    rebuild = f"hemalum improve PROJECT --name {request.name} --model {base.id}" + (f" --full {request.full.name}" if request.full else "")
    return found | {"id": request.name, "thresholds": dict(base.card.thresholds), "rebuild": rebuild}
