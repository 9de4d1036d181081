"""`hemalum train all`: tiles → teacher → pseudo-label → student → export → evaluate, from a folder of images to a model package.

`OUT/stages.json` says what is done, with which configuration and which images.  A stage that is done is skipped; one that was stopped goes on where
it was, as each does when called alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from hemalum.errors import UsageError

from .config import Config
from .report import write_report
from .store import write_json


def stages_of(config: Config, data: Path, out: Path, device: str, init: str | None, log=print) -> dict[str, Callable[[], object]]:
    """The stages that a configuration asks for, in order.  Heavy modules are loaded when a stage begins.

    `init` is what the student begins from.  Without [method] it learns from labels alone, and with [pseudo] also from tiles that `init`
    has labelled.
    """
    def tiles():
        from .tiles import make_tiles
        make_tiles(config, data, out, log)

    def teacher():
        from .attcycle import train_teacher
        train_teacher(config, data, out, device, log=log)

    def pseudo_label():
        from .pseudo_labels import make_pseudo_labels
        from .soft_maps import make_soft_maps
        if config.soft is not None:
            make_soft_maps(config, data, out, init, device, log)
        if config.pseudo is not None:
            make_pseudo_labels(config, out, init, device, log)

    def student():
        if config.method is not None:
            from .transcycle import train_student as train
        else:
            from .supervised import train_supervised as train
        train(config, data, out, device, init, log=log)

    def export():
        from .package import make_package
        make_package(config, data, out, log)

    def evaluate():
        from .package import report_scores
        report_scores(config, data, out, log=log)
        if config.method is not None:
            from .source_table import evaluate_arms
            evaluate_arms(config, data, out, device, log)

    every = {"tiles": tiles, "teacher": teacher, "pseudo-label": pseudo_label, "student": student, "export": export, "evaluate": evaluate}
    left_out = set()
    if config.method is None:
        left_out |= {"teacher"} if config.pseudo else {"tiles", "teacher"}
    if config.pseudo is None and config.soft is None:
        left_out |= {"pseudo-label"}
    return {name: stage for name, stage in every.items() if name not in left_out}


def _listing(config: Config, data: Path) -> list:
    """Names and contents of the files of every set: other images or labels are another training."""
    folders = {*config.sets, *config.zero_shot, *(entry.folder or name for name, entry in config.unlabelled.items())}
    return sorted((f"{name}/{path.relative_to(Path(data) / name)}", hashlib.sha256(path.read_bytes()).hexdigest())
                  for name in folders for path in (Path(data) / name).rglob("*") if path.is_file())


def run_all(config: Config, data: Path, out: Path, device: str = "cpu", init: str | None = None, log=print) -> Path:
    """Work every stage that is not done, write OUT/report.html, and return the folder of the model package.

    Raises:
        UsageError: started by `torchrun`; HemalumError: what the stage raises, the stages before it stay done.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("several processes share the work of `train teacher` and `train student` only; run the steps one by one.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "stages.json"
    done = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    key = hashlib.sha256(json.dumps([dataclasses.asdict(config), str(init), _listing(config, data)], sort_keys=True).encode()).hexdigest()[:16]
    every = stages_of(config, data, out, device, init, log)
    for number, (name, stage) in enumerate(every.items(), 1):
        if done.get(name) == key:
            log(f"[{number}/{len(every)}] {name}: done already")
            continue
        log(f"[{number}/{len(every)}] {name}")
        stage()
        done[name] = key
        write_json(path, done)
    write_report(config, data, out, log)
    return out / "package"
