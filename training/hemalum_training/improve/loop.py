"""The loop from corrected nuclei to a model that is installed.

A training set, a model fine-tuned from the one in use, a verdict on regions kept apart, and the model is installed.

    OUT/improve.json   what is to be done, fixed at the first start
    OUT/data/project/  the training set of `hemalum.projects.export`
    OUT/NAME.toml      the configuration, as `hemalum train` takes it
    OUT/run/           checkpoints and weights
    OUT/verdict.json   OUT/package/   OUT/run.json

Each step leaves something that appears whole or not at all and is not done again; training goes on from its checkpoint.
The configuration excludes what is kept apart, so that no step of the training can read it.
"""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemalum.engine.base import stored_tile
from hemalum.errors import UsageError
from hemalum.files import commit_json, read_json
from hemalum.lock import JobLock
from hemalum.models import Model, install
from hemalum.models.card import Card
from hemalum.projects.export import export
from hemalum.runs.record import Stopwatch, record
from hemalum_training.config.config import Config, LabelledSet
from hemalum_training.data.labelled import load_labelled, load_set
from hemalum_training.data.tiles import make_tiles
from hemalum_training.improve.configuration import OWN, SET, card, configuration
from hemalum_training.improve.plan import Request, fix
from hemalum_training.improve.verdict import judge
from hemalum_training.loops.supervised import train_supervised
from hemalum_training.package.export import export_package, write_card
from hemalum_training.package.make import calibration, check_tile
from hemalum_training.pseudo.labels import make_pseudo_labels
from hemalum_training.scoring.packages import OWN_GRID, choose_thresholds, instance_parameters, maps_of
from hemalum_training.stages import stages_of


@dataclass(frozen=True)
class Improvement:
    """The verdict (fields of `verdict.Verdict` and `sentence`), the package, and the installed model or None."""

    verdict: dict
    package: Path
    installed: Model | None


def improve(request: Request, out: str | Path, *, device: str = "cpu", into: Path | None = None,
            keep_out: bool = False, say: Callable[[str], Any] = print) -> Improvement:
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
            kept, learned = _stems(data / SET, "validation"), _stems(data / SET, "train")
            config = configuration(request, out, kept)
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
            say(f"not installed; the model is in {out / 'package'}: "
                "`hemalum models install` it if you want it all the same")
        content = record("improve", request=request.record(), verdict=verdict, seconds=watch.seconds)
        commit_json(out / "run.json", content)
    return Improvement(verdict, out / "package", installed)


def _stems(folder: Path, part: str) -> list[str]:
    """Of the set's images of one part, "train" or "validation"."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return [row["stem"] for row in csv.DictReader(file) if row["part"] == part]


def _train(request: Request, config: Config, data: Path, run: Path, device: str, say) -> None:
    """Tiles, pseudo labels of the model in use, fine-tuning; the first two are left out where no tile can be trusted.

    Or the whole method.
    """
    if request.full:
        stages = stages_of(config, data, run, device=device, init=None, log=say)
        for name in ("tiles", "teacher", "pseudo-label", "student"):
            if name in stages:
                say(name)
                stages[name]()
        return
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
    fold = config.network.fold
    stored = stored_tile(base)
    tile = stored[0] if stored else check_tile(images, fold)
    fields = card(request, config, images, out / "run")
    apart = load_set(data / SET, LabelledSet(OWN, exclude=learned), "train")
    with tempfile.TemporaryDirectory(dir=out, prefix=".package-") as scratch:
        fresh = Path(scratch) / "package"
        tiles = calibration(images, config.seed, fold)
        export_package(out / "run" / "weights.pt", fresh, fields, tiles, tile, translates=config.method is not None)
        # never on what is kept apart: a whole configuration has validation images of its own, fine-tuning has none
        scored = load_labelled(config, data, "validation") or images
        usual = instance_parameters(fields["thresholds"])
        thresholds, _ = choose_thresholds(maps_of(_model(fresh), scored), usual, OWN_GRID)
        fields["thresholds"] |= thresholds
        write_card(fresh, fields, config.network)
        judged = judge(base, _model(fresh), apart)
        verdict = dataclasses.asdict(judged) | {
            "sentence": judged.sentence,
            "kept_apart": [image.name for image in apart],
            "against": base.id,
        }
        protocol = "fields of 64 µm that no step saw, against the model in use; thresholds chosen on other images"
        fields["scores"] = {"protocol": protocol, **verdict}
        write_card(fresh, fields, config.network)
        commit_json(out / "verdict.json", verdict)
        fresh.rename(out / "package")


def _model(folder: Path) -> Model:
    return Model(Card.read(folder), folder)
