"""The model card: everything a program or a person must know about a model, checked against one schema.

A card is `card.json` in the model's folder.  Unknown keys are an error, so that a misspelt threshold is never ignored.

>>> card = Card.from_dict({
...     "id": "toy", "version": "1", "mpp": 0.5, "output_scale": 2, "halo": 64, "largest_nucleus_um": 25.0,
...     "input": {"name": "pixels", "layout": "NHWC", "dtype": "uint8", "multiple_of": 32},
...     "outputs": {"name": "maps", "channels": ["foreground", "distance"]},
...     "thresholds": {"foreground": 0.4, "marker": 0.45, "sigma": 1.0, "min_area_um2": 2.5},
...     "licence": {"weights": "CC0-1.0", "why": "made by hand"}, "files": {"model.onnx": "0" * 64}})
>>> card.halo_um
32.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any

from hemalum.errors import DamagedModel
from hemalum.grid.tiling import LARGEST_MPP, SMALLEST_MPP

LAYOUTS, CHANNELS = ("NHWC",), ("foreground", "distance")
THRESHOLDS = {
    "foreground": (0, 1),
    "marker": (0, 1),
    "sigma": (0, 10),
    "min_area_um2": (0, 1000),
    "part_um2": (0, 1000),
}
GROUPS = {
    "input": {"name", "layout", "dtype", "multiple_of"},
    "outputs": {"name", "channels"},
    "licence": {"weights", "why", "commercial"},
}


@dataclass(frozen=True)
class Card:
    """What `card.json` says.

    Attributes:
        id, version: name used on the command line ([a-z0-9-]) and the weights' version.
        mpp: µm per input pixel.  output_scale: map pixels per input pixel along an axis (1, 2 or 4).
        halo: input pixels around a tile's core; at least half the largest nucleus plus the network's border effect.
        largest_nucleus_um: longest extent of a nucleus the model promises to find whole, µm.
        input: {"name", "layout": "NHWC", "dtype": "uint8", "multiple_of"}; RGB, scaling lies inside the graph.
        outputs: {"name", "channels": ["foreground", "distance"]}; float32 1×C×sH×sW.
        thresholds: {"foreground", "marker", "sigma" (map px), "min_area_um2"}, and "part_um2" where touching nuclei are
            told apart by `hemalum.nuclei.markers`.
        licence: {"weights": SPDX id, "why": sentence, "commercial": bool}.
        files: sha256 by file name, for every file of the package that is loaded.
        precision: file name → "fp32", "fp16" or "int8".
        data: one object per data set the weights learned from (free keys: name, licence, images, use).
        scores: measured scores with their protocol (free keys).
        rebuild: the command that makes this package again.
    """

    id: str
    version: str
    mpp: float
    output_scale: int
    halo: int
    largest_nucleus_um: float
    input: dict[str, Any]
    outputs: dict[str, Any]
    thresholds: dict[str, float]
    licence: dict[str, Any]
    files: dict[str, str]
    description: str = ""
    precision: dict[str, str] = field(default_factory=dict)
    data: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, Any] = field(default_factory=dict)
    rebuild: str = ""

    @property
    def core(self) -> int:
        """Input pixels for which a tile of a slide answers; with its halo it is computed at 1.27 times their cost."""
        return 16 * self.halo

    @property
    def halo_um(self) -> float:
        """The halo in µm."""
        return self.halo * self.mpp

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "card.json") -> Card:
        """A checked card; `DamagedModel` names the key that is unknown, missing or wrong."""
        if not isinstance(values, dict):
            raise DamagedModel(f"{where} is not a JSON object; write the card again")
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls)} - {"description", "precision", "data", "scores", "rebuild"}
        _same_keys(where, values, known, required)
        for group, names in GROUPS.items():
            if not isinstance(values[group], dict):
                raise DamagedModel(f"{where}: {group!r} must be an object")
            _same_keys(f"{where}, {group!r}", values[group], names, names - {"commercial"})
        if not isinstance(values["thresholds"], dict) or not isinstance(values["files"], dict):
            raise DamagedModel(f"{where}: 'thresholds' and 'files' must be objects")
        _same_keys(f"{where}, 'thresholds'", values["thresholds"], set(THRESHOLDS), set(THRESHOLDS) - {"part_um2"})
        card = cls(**values)
        card._check(where)
        return card

    @classmethod
    def read(cls, folder: Path) -> Card:
        """The card of the model in `folder`; `DamagedModel` if there is none or it cannot be read."""
        path = Path(folder) / "card.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DamagedModel(f"{path} cannot be read ({error.strerror}); install the model again") from error
        except ValueError as error:
            raise DamagedModel(f"{path} is not JSON ({error}); install the model again") from error
        return cls.from_dict(values, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in `card.json`."""
        return asdict(self)

    def _check(self, where: str) -> None:
        # one after the other: what comes later rests on what came before
        for holds, sentence in chain(self._texts(), self._sizes(), self._contract(), self._hashes()):
            if not holds:
                raise DamagedModel(f"{where}: {sentence}")

    def _texts(self) -> Iterator[tuple[bool, str]]:
        named = isinstance(self.id, str) and re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.id) is not None
        yield named, "'id' must be lower-case letters, digits and hyphens"
        yield isinstance(self.version, str) and self.version != "", "'version' must be a string"
        texts = [self.description, self.rebuild, *(self.licence[name] for name in ("weights", "why"))]
        yield (
            all(isinstance(text, str) for text in texts),
            "'description', 'rebuild' and the licence's 'weights' and 'why' must be strings",
        )
        kinds = {"precision": dict, "data": list, "scores": dict}
        yield (
            all(isinstance(getattr(self, name), kind) for name, kind in kinds.items()),
            "'precision' and 'scores' must be objects, 'data' a list",
        )

    def _sizes(self) -> Iterator[tuple[bool, str]]:
        mpp, largest, halo = self.mpp, self.largest_nucleus_um, self.halo
        yield _is_number(mpp) and SMALLEST_MPP <= mpp <= LARGEST_MPP, "'mpp' must lie within 0.05 and 4 µm/px"
        yield self.output_scale in (1, 2, 4), "'output_scale' must be 1, 2 or 4"
        yield isinstance(halo, int) and halo >= 0 and halo % 32 == 0, "'halo' must be a multiple of 32 pixels"
        yield _is_number(largest) and largest > 0, "'largest_nucleus_um' must be positive"
        yield (
            2 * self.halo_um >= largest,
            "'halo' is less than half the largest nucleus, so nuclei would be lost at seams",
        )

    def _contract(self) -> Iterator[tuple[bool, str]]:
        yield self.input["layout"] in LAYOUTS and self.input["dtype"] == "uint8", "'input' must be NHWC uint8"
        multiple = self.input["multiple_of"]
        yield isinstance(multiple, int) and multiple >= 1, "'multiple_of' must be a whole number of pixels"
        names = self.input["name"], self.outputs["name"]
        yield all(isinstance(name, str) for name in names), "the names of input and output must be strings"
        yield self.outputs["channels"] == list(CHANNELS), "'outputs' must have the channels foreground and distance"
        for name, value in self.thresholds.items():
            low, high = THRESHOLDS[name]
            yield _is_number(value) and low <= value <= high, f"threshold {name!r} must lie within {low} and {high}"

    def _hashes(self) -> Iterator[tuple[bool, str]]:
        yield "model.onnx" in self.files, "'files' must give the sha256 of model.onnx"
        for name, digest in self.files.items():
            yield Path(name).name == name, f"file name {name!r} must have no folder"
            hexadecimal = isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
            yield hexadecimal, f"the sha256 of {name!r} must be 64 hexadecimal digits"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_keys(where: str, values: dict, known: set[str], required: set[str]) -> None:
    if unknown := sorted(set(values) - known):
        names = ", ".join(map(repr, unknown))
        raise DamagedModel(f"{where}: unknown key {names}; known are {', '.join(sorted(known))}")
    if missing := sorted(required - set(values)):
        raise DamagedModel(f"{where}: {', '.join(map(repr, missing))} is missing")
