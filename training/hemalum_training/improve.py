"""The loop: corrected nuclei → training set → a model fine-tuned from the one in use → a verdict on regions kept apart → installed.

    OUT/improve.json   what is to be done, fixed at the first start
    OUT/data/project/  the training set of `hemalum.projects.export`
    OUT/NAME.toml      the configuration, as `hemalum train` takes it
    OUT/run/           checkpoints and weights
    OUT/verdict.json   OUT/package/   OUT/run.json

Each step leaves something that appears whole or not at all and is not done again; training goes on from its checkpoint.  The
configuration excludes what is kept apart, so that no step of the training can read it.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemalum.batch.files import commit, commit_json, read_json
from hemalum.batch.lock import JobLock
from hemalum.engine.base import stored_tile
from hemalum.errors import UsageError
from hemalum.models import Model, install
from hemalum.models.card import Card
from hemalum.projects.export import export
from hemalum.runrecord import Stopwatch, record, write_record

from .config import Config, LabelledSet, load_config
from .datasets import load_labelled, load_set
from .evaluate import choose_thresholds, instance_parameters, maps_of
from .export import export_package, write_card
from .improve_plan import Request, fix, network_of
from .package import calibration, check_tile
from .pseudo_labels import make_pseudo_labels
from .supervised import train_supervised
from .tiles import make_tiles
from .verdict import judge

SET = "project"     # name of the training set in data/ and in the configuration
OWN = "own"         # licence of the user's own images
TILES = 200         # unlabelled tiles that the model in use is asked to label, and that are kept


@dataclass(frozen=True)
class Improvement:
    """The verdict (fields of `hemalum_training.verdict.Verdict` and `sentence`), the package, and the installed model or None."""

    verdict: dict
    package: Path
    installed: Model | None


def improve(request: Request, out: str | Path, device: str = "cpu", into: Path | None = None, keep_out: bool = False,
            say: Callable[[str], Any] = print) -> Improvement:
    """Do what is left of an improvement.

    Args:
        into: folder in which a better model is installed; the user's own by default.  keep_out: install nothing.

    Raises:
        UsageError: the folder belongs to another improvement, or another process works on it; see also `export`.
        RunLost, DiskFull: in mid-run; what was committed stays.
    """
    out, watch = Path(out), Stopwatch()
    fix(request, out)
    with JobLock(out):
        data = out / "data"
        if not (data / SET).exists():
            with watch("export"):
                export(request.sources, data / SET, 0.25, request.validation, request.unlabelled, say)
        if not (out / "package").exists():
            kept, learned = _rows(data / SET)
            config = _configuration(request, out, kept)
            with watch("train"):
                _train(request, config, data, out / "run", device, say)
            with watch("package and verdict"):
                _package(request, config, data, out, learned)
        verdict = read_json(out / "verdict.json")
        say(verdict["sentence"])
        installed = None
        if verdict["better"] and not keep_out:
            installed = install(out / "package", into)
            say(f"installed as {installed.id} in {installed.folder}; servers that run offer it at once")
        else:
            say(f"not installed; the model is in {out / 'package'}: `hemalum models install` it if you want it all the same")
        write_record(out / "run.json", record("improve", request=request.record(), verdict=verdict, seconds=watch.seconds))
    return Improvement(verdict, out / "package", installed)


def _rows(folder: Path) -> tuple[list[str], list[str]]:
    """Stems of the set's images that are kept apart, and of those that are learned."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple([row["stem"] for row in rows if row["part"] == part] for part in ("validation", "train"))


def _configuration(request: Request, out: Path, kept: list[str]) -> Config:
    """Written into `out` for `hemalum train`, and read back: few steps at a small rate, from the model in use."""
    def table(head: str, values: dict) -> str:
        return f"\n[{head}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())

    text = f"# {request.base.id} {request.base.card.version} fine-tuned on corrected nuclei; written by `hemalum improve`.\nlicences = [\"{OWN}\"]\n"
    text += table("network", network_of(request.base).as_dict()) + table("schedule", vars(request.schedule))
    text += table(f"sets.{SET}", {"licence": OWN, "exclude": kept})
    if request.pseudo and any((out / "data" / SET / "unlabelled").iterdir()):
        text += table(f"unlabelled.{SET}", {"licence": OWN}) + table("pseudo", {"pool": TILES, "keep": TILES})
    path = out / f"{request.name}.toml"
    commit(path, lambda file: file.write(text.encode("utf-8")))
    return load_config(path)


def _train(request: Request, config: Config, data: Path, run: Path, device: str, say) -> None:
    """Tiles, pseudo labels of the model in use, fine-tuning; the first two are left out where no tile can be trusted."""
    init = str(request.base.folder)
    if config.pseudo is not None:
        try:
            make_tiles(config, data, run, log=say)
            make_pseudo_labels(config, run, init, device, log=say)
        except UsageError as error:
            say(f"no pseudo labels: {error}")
            config = dataclasses.replace(config, pseudo=None)
    train_supervised(config, data, run, device, init, log=say)


def _package(request: Request, config: Config, data: Path, out: Path, learned: list[str]) -> None:
    """Export, choose thresholds on the training images, judge, commit verdict.json, then the package."""
    images, base = load_labelled(config, data), request.base
    stored, card = stored_tile(base), _card(request, len(learned))
    apart = load_set(data / SET, LabelledSet(OWN, exclude=learned), "train")
    with tempfile.TemporaryDirectory(dir=out, prefix=".package-") as scratch:
        fresh = Path(scratch) / "package"
        export_package(out / "run" / "weights.pt", fresh, card, calibration(images, config.seed), stored[0] if stored else check_tile(images))
        chosen, _ = choose_thresholds(maps_of(_model(fresh), images), instance_parameters(card["thresholds"]))
        card["thresholds"] |= chosen
        write_card(fresh, card)
        found = judge(base, _model(fresh), apart)
        verdict = dataclasses.asdict(found) | {"sentence": found.sentence, "kept_apart": [image.name for image in apart], "against": base.id}
        card["scores"] = {"protocol": "fields of 64 µm of images that no step saw, against the model it began from; thresholds chosen on the "
                                      "training images", **verdict}
        write_card(fresh, card)
        commit_json(out / "verdict.json", verdict)
        fresh.rename(out / "package")


def _model(folder: Path) -> Model:
    return Model(Card.read(folder), folder)


def _card(request: Request, images: int) -> dict:
    base = request.base
    return {
        "id": request.name, "description": f"{base.id} {base.card.version}, fine-tuned on the user's corrected nuclei.",
        "licence": {**base.card.licence, "why": f"begun from {base.id} ({base.card.licence['why']}); learned from the user's own images, too"},
        "data": [*base.card.data, {"name": "the user's corrected nuclei", "licence": OWN, "images": images, "use": "fine-tuning"}],
        "thresholds": dict(base.card.thresholds),
        "rebuild": f"hemalum train student {request.name}.toml --data data --init {base.id}",
    }


