"""Do pseudo labels lift the student?  Arms trained with the same tiles, steps and seeds, scored on images that no training saw.

    OUT/tiles                      domains, made once
    OUT/seed-S/teacher/            AttCycle of this seed, the arm "teacher" and the one that labels
    OUT/seed-S/pseudo/             its pseudo labels, by the rule of the arm that was trained last; scores are computed once
    OUT/seed-S/ARM/                training and, at its end, scores.json
    OUT/experiment.md, .json       the comparison, in whatever order it comes

An arm is "teacher", "student" (labels alone) or "student+RULE", RULE one of `agreement.RULES`.  A run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from hemalum.errors import UsageError
from hemalum.metrics import bootstrap

from .config import Config
from .cycle_run import CycleRun
from .datasets import LabelledImage, load_labelled
from .export import load_generator
from .method_config import Pseudo
from .pools import Pools, load_pools
from .pseudo_labels import make_pseudo_labels
from .source_table import COLUMNS, as_text, score, scored_images
from .store import write_json, write_text
from .tiles import make_tiles

COMPARED = ("AJI", "F1 nucleus", "F1 pixel", "SSIM")


def few(images: list[LabelledImage], count: int) -> list[LabelledImage]:
    """At most `count` images, chosen by the hash of their names, so the same ones for every arm and seed (0: all)."""
    chosen = sorted(images, key=lambda image: hashlib.sha256(image.name.encode()).digest())
    return sorted(chosen[:count or None], key=lambda image: image.name)


def run_experiment(config: Config, data: Path, out: Path, device: str = "cpu", log=print) -> Path:
    """Train and score every arm with every seed, write the comparison and return its path.

    Raises:
        UsageError: no [method], an unknown arm, no image that is scored only, or two rules that keep different numbers of tiles.
        RunLost: as a training.
    """
    if config.method is None:
        raise UsageError(f"configuration {config.name} has no table [method]; add one.")
    what, images = scored_images(config, data)
    if not config.zero_shot:
        raise UsageError("the experiment is scored on images that no training sees, even to choose an epoch; name some in [zero_shot.NAME].")
    wanted, out = config.method.experiment, Path(out)
    if not (out / "tiles" / "manifest.csv").is_file():
        make_tiles(config, data, out, log)
    scores: dict[str, dict[int, dict]] = {arm: {} for arm in wanted.arms}
    kept: dict[int, int] = {}
    for seed in wanted.seeds:
        own, folder = replace(config, seed=seed), out / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        _same_tiles(out / "tiles", folder / "tiles")
        # the teacher comes first, whether it is scored or not: the others may need its labels
        for arm in dict.fromkeys(["teacher", *wanted.arms]):
            log(f"seed {seed}, {arm}")
            path = folder / arm / "scores.json"
            if not path.is_file():
                weights, tiles = _train(own, data, folder, arm, device, log)
                row = score(load_generator(weights).to(device), images, device)
                write_json(path, {"images": row.images, "pseudo_tiles": tiles, **row.values})
            found = json.loads(path.read_text(encoding="utf-8"))
            if arm in scores:
                scores[arm][seed] = found
            if (tiles := found["pseudo_tiles"]) and kept.setdefault(seed, tiles) != tiles:
                raise UsageError(f"the rules keep {kept[seed]} and {tiles} tiles; lower [pseudo] keep so that both find enough, and begin a new run.")
    return _report(scores, wanted.seeds, what, config, out, log)


def _train(config: Config, data: Path, folder: Path, arm: str, device: str, log) -> tuple[Path, int]:
    """Weights of one arm, and how many pseudo tiles it learned from."""
    kind, _, rule = arm.partition("+")
    if kind not in ("teacher", "student") or (kind == "teacher" and rule):
        raise UsageError(f"there is no arm “{arm}”; arms are teacher, student and student+RULE.")
    if rule:
        config = replace(config, pseudo=replace(config.pseudo or Pseudo(), rule=rule))
        make_pseudo_labels(config, folder, device=device, log=log)
    pools = load_pools(config, data, folder, pseudo=bool(rule))
    count = config.method.experiment.labelled
    pools = Pools(few(pools.x, count), few(pools.y, count), pools.x_unlabelled, pools.pseudo, pools.density)
    network = config.method.teacher if kind == "teacher" else config.network
    run = CycleRun(network, config, pools, load_labelled(config, data, "validation"), folder / arm, device, log=log)
    return run.train(), len(pools.pseudo)


def _same_tiles(source: Path, target: Path) -> None:
    if not target.exists():
        try:
            os.symlink(os.path.relpath(source, target.parent), target, target_is_directory=True)
        except OSError:         # Windows without the right to make links
            shutil.copytree(source, target)


def comparisons(arms: list[str]) -> list[tuple[str, str]]:
    """Pairs whose difference is reported: pseudo labels against none, student against teacher, rule against rule.

    >>> comparisons(["teacher", "student", "student+agreement"])
    [('student+agreement', 'student'), ('student+agreement', 'teacher'), ('student', 'teacher')]
    """
    pseudo = [arm for arm in arms if "+" in arm]
    pairs = [(a, "student") for a in pseudo] + [(a, "teacher") for a in [*pseudo, "student"]]
    pairs += [(a, b) for i, a in enumerate(pseudo) for b in pseudo[i + 1:]]
    return [(a, b) for a, b in pairs if a in arms and b in arms]


def difference(first: dict[int, dict], second: dict[int, dict], column: str) -> tuple[list[float], list[float]]:
    """first − second in a column: one value an image (mean over seeds), one value a seed (mean over images)."""
    values = np.array([np.array(first[seed][column]) - np.array(second[seed][column]) for seed in first])
    return values.mean(0).tolist(), values.mean(1).tolist()


def _report(scores: dict[str, dict[int, dict]], seeds: list[int], what: str, config: Config, out: Path, log) -> Path:
    means = {arm: {c: float(np.mean([rows[s][c] for s in seeds])) for c in COLUMNS} for arm, rows in scores.items()}
    cycle = config.method.cycle
    steps = cycle.epochs * cycle.steps_per_epoch or f"{cycle.epochs} epochs of"
    lines = [as_text(means, f"{what}; means over seeds {', '.join(map(str, seeds))}; {steps} steps an arm"), "",
             "Differences: mean over seeds and images, 95 % interval by bootstrap over images (seeds averaged first), then each seed's mean.", ""]
    record = {"means": means, "differences": {}}
    for first, second in comparisons(list(scores)):
        for column in COMPARED:
            by_image, by_seed = difference(scores[first], scores[second], column)
            mean, low, high = bootstrap(by_image)
            record["differences"][f"{first} − {second}: {column}"] = {"mean": mean, "low": low, "high": high, "seeds": by_seed}
            lines.append(f"{first} − {second}  {column:10} {mean:+.4f} ({low:+.4f} … {high:+.4f})   seeds " + " ".join(f"{v:+.4f}" for v in by_seed))
    log("\n".join(lines))
    write_json(out / "experiment.json", record)
    write_text(out / "experiment.md", "\n".join(lines) + "\n")
    return out / "experiment.md"
