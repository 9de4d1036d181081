"""`AnyRun`: what a run has, in this process or on a server, so that everything behind takes either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from hemalum.grid.tiling import Plan
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import Event, ImageInfo, Parameters
from hemalum.runs.record import Stopwatch
from hemalum.stain.estimation import Stain


class AnyRun(Protocol):
    """A `hemalum.runs.run.Run` or a `hemalum.client.remote_run.RemoteRun`; a context manager that cancels at its end.

    Attributes:
        run_id: name of this run in logs.  image: what it works on.  parameters: with every threshold filled.
        plan: its tiles.  grid_tiles: tiles of the whole grid, those of glass too.
        stain: of the image.
        columns: names of the measurements.  largest_nucleus_um: of the model.  notices: sentences for the user.
        credits: tiles that may be in work before the first `TileConsumed`.
        device, precision: what computes; precision: "fp32", "fp16", "int8", or None.  digest: sha256 of the weights.
        watch: seconds of each stage.
    """

    run_id: str
    image: ImageInfo
    parameters: Parameters
    plan: Plan
    grid_tiles: int
    stain: Stain
    columns: tuple[str, ...]
    largest_nucleus_um: float
    notices: list[str]
    credits: int
    device: str
    precision: str | None
    digest: str
    watch: Stopwatch

    @property
    def model_record(self) -> dict[str, Any]:
        """What a run record says of the model: id, version, sha256, mpp, licence."""

    def events(self) -> Iterator[Event]:
        """Everything that happens, until `Finished`; one reader."""

    def ids(self, nuclei: Nuclei) -> list[str]:
        """The stable ids of nuclei of this run."""

    def __enter__(self) -> AnyRun:
        """The run itself."""

    def __exit__(self, *_: object) -> None:
        """`cancel`."""

    def cancel(self) -> None:
        """Stop within a tile; `events()` ends with `Cancelled`."""
