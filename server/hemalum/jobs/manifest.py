"""`job.json`: what a job is to do, fixed when it begins, so that going on needs nothing but the folder.

>>> Manifest("1", [], {"id": "toy"}, {"formats": ["geojson"]}).options["formats"]
['geojson']
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hemalum import __version__
from hemalum.errors import UsageError, VersionMismatch
from hemalum.files import commit_json, read_json
from hemalum.models import Model, find
from hemalum.runs.events import Parameters

NAME, FORMAT = "job.json", 1
CHOICES = ("foreground", "marker", "sigma", "min_area_um2", "part_um2", "skip_glass", "stain", "core")


@dataclass
class Manifest:
    """What a job does.

    Attributes:
        hemalum: the version that began it.
        inputs: one dict each: `path` (absolute), `stem`, `size` (bytes) and `modified` (ns) or None where it was
            missing, and where a project says so `mpp`, `series`.
        model: `id`, `sha256`, `folder`.
        options: `formats`, `mpp`, `region`, `device`, `threads`, `precision`, `commit_every` (s between commits, 1 if
            it is not there), and the parameters of `CHOICES`.
        tries: how often a slide is tried before it is set aside.
    """

    hemalum: str
    inputs: list[dict]
    model: dict
    options: dict
    tries: int = 3
    created: str = ""
    format: int = FORMAT

    @classmethod
    def make(cls, paths: list[Path], model: Model, options: dict, tries: int = 3) -> Manifest:
        """A new job's manifest."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        described = {"id": model.id, "sha256": model.digest, "folder": str(model.folder.resolve())}
        return cls(__version__, inputs_of(paths), described, options, tries, now)

    @property
    def parameters(self) -> Parameters:
        """Without regions."""
        return Parameters(**{name: self.options[name] for name in CHOICES if name in self.options})

    def same(self, other: Manifest) -> bool:
        """Whether the other one asks for the same work."""
        mine, its = (json.dumps([m.inputs, m.model["sha256"], m.options, m.hemalum]) for m in (self, other))
        return mine == its

    def write(self, folder: Path) -> None:
        """Raises `DiskFull`."""
        commit_json(folder / NAME, asdict(self))

    @classmethod
    def read(cls, folder: str | Path) -> Manifest:
        """The manifest of a job folder.

        Raises:
            UsageError: there is no job in it, or its manifest is damaged.
            VersionMismatch: a job of another format.
        """
        folder = Path(folder)
        content = read_json(folder / NAME)
        if content is None:
            raise UsageError(f"{folder} holds no job; begin one with `hemalum job run INPUT... -o {folder}`")
        if content.get("format") != FORMAT:
            raise VersionMismatch(
                f"{folder} was made by Hemalum {content.get('hemalum')} in format {content.get('format')}, this is "
                f"{__version__} with "
                f"format {FORMAT}; finish it with that version or begin a new job"
            )
        try:
            return cls(**content)
        except TypeError as error:
            raise UsageError(f"{folder / NAME} is damaged ({error}); restore it or begin a new job") from None

    def find_model(self) -> Model:
        """The model this job was begun with.

        Raises:
            VersionMismatch: the model's weights or Hemalum's version are no longer those of the finished pieces.
            UnknownModel, DamagedModel: it is gone.
        """
        if self.hemalum != __version__:
            raise VersionMismatch(
                f"the job was begun with Hemalum {self.hemalum}, this is {__version__}, which may find other nuclei; "
                f"install hemalum=={self.hemalum} or begin a new job"
            )
        folder = Path(self.model["folder"])
        model = find(self.model["id"], [folder] if folder.is_dir() else [])
        if model.digest != self.model["sha256"]:
            raise VersionMismatch(
                f"the model {model.id} has sha256 {model.digest[:12]}…, but the job was begun with "
                f"{self.model['sha256'][:12]}…; "
                "install the former model or begin a new job"
            )
        model.verified("model.onnx")
        return model


def manifest_of(
    paths: list[Path], options: dict, tries: int = 3, workers: int | None = None, scheduler: str | None = None
) -> Manifest:
    """The manifest of a job, all of it checked.

    Args:
        options: `model_id`, `folders` (with further models), `formats`, `mpp`, `region` (x, y, width, height in level-0
            px), `series` (which image of each file), `foreground`, `marker`, `min_area` (µm²), `all_tiles`, `stain`,
            `device`, `precision`, `threads` (None: all cores, shared by the workers).
        workers, scheduler: of the cluster that is to compute it.

    Raises:
        UsageError: an option out of range.  UnknownModel, DamagedModel: of the model.
    """
    from hemalum.compiled import cores

    model = find(options["model_id"], options["folders"])
    parameters = {
        "foreground": options["foreground"],
        "marker": options["marker"],
        "min_area_um2": options["min_area"],
        "skip_glass": not options["all_tiles"],
        "stain": options["stain"],
    }
    Parameters(**parameters).resolved(model.card.thresholds)
    # threads are written down because sums in another order are other sums: going on elsewhere must give the same
    # nuclei
    threads = options["threads"] or (1 if scheduler else max(1, cores() // (workers or 1)))
    run = {name: options.get(name) for name in ("formats", "mpp", "region")}
    engine = {"device": options["device"], "precision": options["precision"], "threads": threads}
    manifest = Manifest.make(paths, model, {**run, **engine, **parameters}, tries)
    if options.get("series") is not None:
        for entry in manifest.inputs:
            entry["series"] = options["series"]
    return manifest


def inputs_of(paths: list[Path]) -> list[dict]:
    """See `Manifest.inputs`."""
    from hemalum.slides import stem

    stamps = [stamp(path) for path in paths]
    return [
        {"path": str(Path(path).resolve()), "stem": stem(path), "size": size, "modified": modified}
        for path, (size, modified) in zip(paths, stamps, strict=True)
    ]


def stamp(path: str | Path) -> tuple[int | None, int | None]:
    """Size in bytes and time of change in ns, or (None, None) for a file that is not there."""
    try:
        info = Path(path).stat()
    except OSError:
        return None, None
    return info.st_size, info.st_mtime_ns
