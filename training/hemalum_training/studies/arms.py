"""Do pseudo labels lift the student, and what does each part bring?

Arms trained with the same tiles, steps and seeds, scored on images that no training saw.

    OUT/tiles                      domains, made once
    OUT/seed-S/teacher/            AttCycle of this seed, the arm "teacher" and the one that labels
    OUT/seed-S/pseudo/             its pseudo labels, by the rule of the arm that was trained last; scored once
    OUT/seed-S/ARM/                training and, at its end, scores.json
    OUT/NAME.md, NAME.json         the comparison, NAME the configuration's; several with the same arms may have one OUT

An arm is "teacher", "student" (labels alone) or "student+RULE", RULE one of `pseudo.rules.RULES`; "ARM without NAME" is
the same with the changes of [method.experiment.without.NAME].  A run that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.config.data import Pseudo
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.data.pseudo_store import load_pseudo
from hemalum_training.data.tile_store import load_domains
from hemalum_training.data.tiles import make_tiles
from hemalum_training.loops.checkpoint import refuse_other
from hemalum_training.loops.cycle_run import CycleRun
from hemalum_training.loops.pools import load_pools
from hemalum_training.networks.deployed import load_generator
from hemalum_training.pseudo.labels import make_pseudo_labels
from hemalum_training.pseudo.rules import RULES
from hemalum_training.scoring.patent_table import score, scored_images, unchanged
from hemalum_training.scoring.predict import fitted_parameters
from hemalum_training.store import write_json
from hemalum_training.studies.comparison import WITHOUT, write_comparison


@dataclass(frozen=True)
class Arm:
    """What is trained under a name.

    Attributes:
        kind: "teacher" or "student".
        rule: of its pseudo labels, or "".
        config: what it is trained with.
    """

    name: str
    kind: str
    rule: str
    config: Config

    @property
    def folder(self) -> str:
        return self.name.replace(" ", "-")


def arm_of(name: str, config: Config) -> Arm:
    """The arm of this name.

    Raises:
        UsageError: there is no such arm.
    """
    whole, _, without = name.partition(WITHOUT)
    kind, _, rule = whole.partition("+")
    if kind not in ("teacher", "student") or rule and (kind == "teacher" or rule not in RULES):
        raise UsageError(f"there is no arm “{name}”; arms are teacher, student and student+RULE, "
                         f"RULE one of {', '.join(RULES)}.")
    if rule:
        config = replace(config, pseudo=replace(config.pseudo or Pseudo(), rule=rule))
    if without:
        method, pseudo = config.method.changed(without, config.pseudo)
        config = replace(config, method=method, pseudo=pseudo)
    return Arm(name, kind, rule, config)


def few(images: list[LabelledImage], count: int) -> list[LabelledImage]:
    """At most `count` images, chosen by the hash of their names, so the same ones for every arm and seed (0: all)."""
    in_order = sorted(images, key=lambda image: hashlib.sha256(image.name.encode()).digest())
    return sorted(in_order[:count or None], key=lambda image: image.name)


def run_experiment(config: Config, data: Path, out: Path, device: str = "cpu", log=print) -> Path:
    """Train and score every arm with every seed, write the comparison and return its path.

    Raises:
        UsageError: no [method], an unknown arm, steps that depend on the arm, no image that is scored only, rules that
            keep different numbers of tiles, or an arm in OUT that was made with another configuration.
        RunLost: as a training.
    """
    if config.method is None:
        raise UsageError(f"configuration {config.name} has no table [method]; add one.")
    if not config.zero_shot:
        raise UsageError("the experiment is scored on images that no training sees, even to choose an epoch; "
                         "name some in [zero_shot.NAME].")
    cycle, experiment, out = config.method.cycle, config.method.experiment, Path(out)
    if not cycle.steps_per_epoch:
        raise UsageError("the experiment needs [method.cycle] steps_per_epoch, "
                         "so that every arm works the same number of steps.")
    # the teacher comes first, whether it is scored or not: the others may need its labels
    names = list(dict.fromkeys(["teacher", *experiment.arms]))
    for name in names:
        arm_of(name, config)
    title, images = scored_images(config, data)
    make_tiles(config, data, out, log)
    reference = load_domains(out).reference
    rows: dict[str, dict[int, dict]] = {name: {} for name in experiment.arms}
    for seed in experiment.seeds:
        folder = out / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        _same_tiles(out / "tiles", folder / "tiles")
        arms = [arm_of(name, replace(config, seed=seed)) for name in names]
        for number, arm in enumerate(arms):
            path, made_with = folder / arm.folder / "scores.json", _made_with(arm)
            if path.is_file():
                refuse_other(path, json.loads(path.read_text(encoding="utf-8"))["made_with"], made_with)
            else:
                if number == 1:
                    _refuse_unequal(arms, folder, device, log)
                log(f"seed {seed}, {arm.name}")
                weights, tiles = _train(arm, data, folder, device, log)
                generator = load_generator(weights).to(device)
                row = score(generator, images, reference, device, fitted_parameters(weights))
                write_json(path, {"made_with": made_with, "images": row.images, "pseudo_tiles": tiles, **row.values})
            if arm.name in rows:
                rows[arm.name][seed] = json.loads(path.read_text(encoding="utf-8"))
    steps = cycle.epochs * cycle.steps_per_epoch
    return write_comparison(
        rows, unchanged(images, reference), images=title, steps=steps, path=out / f"{config.name}.md", log=log
    )


def _made_with(arm: Arm) -> dict:
    """What the scores of an arm depend on, as JSON has it."""
    config = arm.config
    network = config.method.teacher if arm.kind == "teacher" else config.network
    made_with = {
        "network": network.as_dict(),
        "encoder weights": network.encoder_weights,
        "cycle": dataclasses.asdict(config.method.cycle),
        "tiles": dataclasses.asdict(config.tiles),
    }
    for kind in ("sets", "zero_shot", "unlabelled"):
        made_with[kind] = {name: dataclasses.asdict(entry) for name, entry in getattr(config, kind).items()}
    made_with["labelled"] = config.method.experiment.labelled
    if arm.rule:
        made_with["pseudo"] = dataclasses.asdict(config.pseudo)
    return made_with


def _refuse_unequal(arms: list[Arm], folder: Path, device: str, log) -> None:
    """Before any student is trained: each must learn from as many pseudo-labelled tiles as the others that do."""
    kept = {arm.name: _labelled(arm, folder, device, log) for arm in arms if arm.rule}
    if len(set(kept.values())) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in kept.items())
        raise UsageError(f"the arms would learn from different numbers of tiles ({counts}); "
                         "lower [pseudo] keep or threshold so that all find enough.")


def _labelled(arm: Arm, folder: Path, device: str, log) -> int:
    """Choose the pseudo labels of an arm; how many there are."""
    make_pseudo_labels(arm.config, folder, device=device, log=log)
    return len(load_pseudo(folder))


def _train(arm: Arm, data: Path, folder: Path, device: str, log) -> tuple[Path, int]:
    """Weights of one arm, and how many pseudo tiles it learned from."""
    if arm.rule:
        _labelled(arm, folder, device, log)
    config = arm.config
    pools = load_pools(config, data, folder, pseudo=bool(arm.rule))
    count = config.method.experiment.labelled
    pools = replace(pools, x=few(pools.x, count), y=few(pools.y, count), labelled_by="")
    network = config.method.teacher if arm.kind == "teacher" else config.network
    network = network.with_weights_in(data)
    validation = load_labelled(config, data, "validation")
    run = CycleRun(network, config, pools, validation, out=folder / arm.folder, device=device, log=log)
    return run.train(), len(pools.pseudo)


def _same_tiles(source: Path, target: Path) -> None:
    if not target.exists():
        try:
            os.symlink(os.path.relpath(source, target.parent), target, target_is_directory=True)
        except OSError:         # Windows without the right to make links
            shutil.copytree(source, target)
