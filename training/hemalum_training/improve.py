"""The loop: corrected nuclei → training set → a model fine-tuned from the one in use → a verdict on regions kept apart → installed.

    OUT/improve.json   what is to be done, fixed at the first start
    OUT/data/project/  the training set of `hemalum.projects.export`
    OUT/NAME.toml      the configuration, as `hemalum train` takes it
    OUT/run/           checkpoints and weights
    OUT/verdict.json   OUT/package/   OUT/run.json

Each step leaves something that appears whole or not at all and is not done again; training goes on from its checkpoint.
"""

from __future__ import annotations

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
from hemalum.models import Model, install
from hemalum.models.card import Card
from hemalum.projects.export import export
from hemalum.runrecord import Stopwatch, record, write_record

from .config import Config, load_config
from .datasets import load_labelled
from .evaluate import choose_thresholds, maps_of
from .export import export_package, write_card
from .improve_plan import Request, fix, network_of
from .package import calibration, check_tile, instance_parameters
from .supervised import train_supervised
from .verdict import judge

SET = "project"     # name of the training set in data/ and in the configuration
OWN = "own"         # licence of the user's own images
PSEUDO_SHARE = 0.3  # of the crops, where there is unlabelled tissue


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
        config = _configuration(request, out)
        if not (out / "package").exists():
            with watch("train"):
                train_supervised(config, data, out / "run", device, str(request.base.folder), log=say)
            with watch("package and verdict"):
                _package(request, config, data, out, say)
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


def configuration(request: Request, held: list[str], tiles: bool) -> str:
    """The TOML of a fine-tuning: few steps at a small rate, from the model in use.

    Args:
        held: patients kept apart.  tiles: there is unlabelled tissue.
    """
    def table(head: str, values: dict) -> str:
        return f"\n[{head}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())

    text = f"# {request.base.id} {request.base.card.version} fine-tuned on corrected nuclei; written by `hemalum improve`.\nlicences = [\"{OWN}\"]\n"
    text += table("network", network_of(request.base).as_dict()) + table("schedule", vars(request.schedule))
    text += table(f"sets.{SET}", {"licence": OWN, "patient_column": "patient", "validation": held})
    return text


def _configuration(request: Request, out: Path) -> Config:
    report = json.loads((out / "data" / SET / "report.json").read_text(encoding="utf-8"))
    text = configuration(request, report["validation"], bool(report["counts"].get("unlabelled tiles"))).encode("utf-8")
    path = out / f"{request.name}.toml"
    commit(path, lambda file: file.write(text))
    return load_config(path)


def _package(request: Request, config: Config, data: Path, out: Path, say) -> None:
    """Export, choose thresholds on the training images, judge, commit verdict.json, then the package."""
    images, base = load_labelled(config, data), request.base
    stored = stored_tile(base)
    card = _card(request, len(images))
    with tempfile.TemporaryDirectory(dir=out, prefix=".package-") as scratch:
        fresh = Path(scratch) / "package"
        export_package(out / "run" / "weights.pt", fresh, card, calibration(images, config.seed), stored[0] if stored else check_tile(images))
        chosen, _ = choose_thresholds(maps_of(_model(fresh), images), instance_parameters(card["thresholds"]))
        card["thresholds"] |= chosen
        write_card(fresh, card)
        found = judge(base, _model(fresh), load_labelled(config, data, "validation"))
        verdict = dataclasses.asdict(found) | {"sentence": found.sentence, "kept_apart": config.sets[SET].validation, "against": base.id}
        card["scores"] = {"protocol": "fields of 64 µm of regions that no step saw, against the model it began from; thresholds chosen on the "
                                      "training regions", **verdict}
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


