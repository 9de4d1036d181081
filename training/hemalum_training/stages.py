"""`hemalum train all`: tiles → teacher → pseudo-label → student → export → evaluate.

From a folder of images to a model package.  `OUT/stages.json` says what is done, with which configuration and which
images.  A stage that is done is skipped; one that was stopped goes on where it was, as each does when called alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.report.page import write_report
from hemalum_training.store import write_json


def stages_of(config: Config, data: Path, out: Path, *, device: str, init: str | None,
              log=print) -> dict[str, Callable[[], object]]:
    """The stages that a configuration asks for, in order.  Heavy modules are loaded when a stage begins.

    `init` is what the student begins from.  Without [method] it learns from labels alone, and with [pseudo] also from
    tiles that `init` has labelled, with [soft] from its maps of the labelled images.
    """
    def tiles():
        from hemalum_training.data.tiles import make_tiles
        make_tiles(config, data, out, log)

    def teacher():
        from hemalum_training.loops.method import train_method
        train_method("teacher", config, data, out, device=device, log=log)

    def pseudo_label():
        from hemalum_training.pseudo.labels import make_pseudo_labels
        from hemalum_training.pseudo.soft_maps import make_soft_maps
        if config.soft is not None:
            make_soft_maps(config, data, out, init, device=device, log=log)
        if config.pseudo is not None:
            make_pseudo_labels(config, out, init, device, log)

    def student():
        if config.method is None:
            from hemalum_training.loops.supervised import train_supervised
            train_supervised(config, data, out, device, init, log=log)
        else:
            from hemalum_training.loops.method import train_method
            train_method("student", config, data, out, device=device, init=init, log=log)

    def export():
        from hemalum_training.package.make import make_package
        make_package(config, data, out, log)

    def evaluate():
        from hemalum_training.package.make import report_scores
        report_scores(config, data, out, log=log)
        if config.method is not None:
            from hemalum_training.scoring.patent_table import evaluate_arms
            evaluate_arms(config, data, out, device, log)

    stages = {
        "tiles": tiles,
        "teacher": teacher,
        "pseudo-label": pseudo_label,
        "student": student,
        "export": export,
        "evaluate": evaluate,
    }
    left_out = set()
    if config.method is None:
        left_out |= {"teacher"} if config.pseudo else {"tiles", "teacher"}
    if config.pseudo is None and config.soft is None:
        left_out |= {"pseudo-label"}
    return {name: stage for name, stage in stages.items() if name not in left_out}


def _listing(config: Config, data: Path) -> list:
    """Names and contents of the files of every set: other images or labels are another training."""
    folders = {*config.sets, *config.zero_shot, *(entry.folder or name for name, entry in config.unlabelled.items())}
    files = []
    for name in folders:
        root = Path(data) / name
        for path in root.rglob("*"):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                files.append((f"{name}/{path.relative_to(root)}", digest))
    return sorted(files)


def run_all(config: Config, data: Path, out: Path, device: str = "cpu", init: str | None = None, log=print) -> Path:
    """Work every stage that is not done, write OUT/report.html, and return the folder of the model package.

    Raises:
        UsageError: started by `torchrun`; HemalumError: what the stage raises, the stages before it stay done.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("several processes share the work of `train teacher` and `train student` only; "
                         "run the steps one by one.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "stages.json"
    done = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    made_with = [dataclasses.asdict(config), str(init), _listing(config, data)]
    key = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:16]
    stages = stages_of(config, data, out, device=device, init=init, log=log)
    for number, (name, stage) in enumerate(stages.items(), 1):
        if done.get(name) == key:
            log(f"[{number}/{len(stages)}] {name}: done already")
            continue
        log(f"[{number}/{len(stages)}] {name}")
        stage()
        done[name] = key
        write_json(path, done)
    write_report(config, data, out, log)
    return out / "package"
