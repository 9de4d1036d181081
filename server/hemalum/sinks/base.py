"""What every sink has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hemalum.nuclei.nuclei import Nuclei


@dataclass(frozen=True)
class Target:
    """What a sink needs to know about the image.

    Attributes:
        width, height: level-0 px.  mpp: µm per level-0 px.
        region: x, y, width, height in level-0 px that label images cover; None = the whole image.
        model, identity: what nucleus ids derive from.
        columns: names of the measurements every write brings.
        picture: gives the picture an overlay is drawn on (uint8 h×w×3) and its downsample.
    """

    width: int
    height: int
    mpp: float
    model: str
    identity: str
    columns: tuple[str, ...] = ()
    region: tuple[int, int, int, int] | None = None
    picture: Callable | None = None


class Sink(Protocol):
    """An output that is written as nuclei become final.

    `write` in plan order, `finish`, then `close`; or `abort`, which leaves nothing behind.  `finish` does all that can
    fail, so that of several sinks either all files appear or none; `close` gives the files their names, which `paths`
    then says, and finishes first where that was not done.
    """

    paths: list[Path]

    def write(self, nuclei: Nuclei, ids: list[str]) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...
