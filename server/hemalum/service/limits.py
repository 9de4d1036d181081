"""What the server refuses before it costs memory or time.

>>> Limits().check_image(100_000, 100_000)
>>> Limits(image_pixels=9).check_image(5, 5)
Traceback (most recent call last):
    ...
hemalum.errors.TooMuch: an image of 5×5 px is too large for this server (at most 9 px); segment a smaller export
"""

from __future__ import annotations

from dataclasses import dataclass

from hemalum.errors import ProtocolError, TooMuch, UsageError
from hemalum.v1 import nuclei_pb2 as pb


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        message_bytes: largest message; the raw pixels of a tile of 512 µm at 0.125 µm/px, with halo.
        image_pixels: width × height, level-0 px.  tiles: of a run's grid.
        overview_side: longest side, px.
        core: of a tile, model px.
        runs: at a time.  runs_per_caller: of them, for one named token; None: half of them where there are several.
        waiting: runs that wait for a place.  slot_seconds: how long a client waits that cannot be told its place.
        openings: streams whose first message has not come or is being checked.  first_seconds: for that message.
        short_calls: normalizations at a time, and twice as many that wait.
        tiles_in_flight: most credits of a run.
        idle_seconds: a client that neither sends what is due nor reads what is sent for so long loses its run.
        heartbeat_seconds: a run's stream is never silent for longer.
    """

    message_bytes: int = 64 << 20
    image_pixels: int = 400_000_000_000
    overview_side: int = 2048
    core: int = 2048
    runs: int = 8
    runs_per_caller: int | None = None
    waiting: int = 32
    slot_seconds: float = 10
    openings: int = 64
    first_seconds: float = 20
    short_calls: int = 4
    tiles_in_flight: int = 64
    tiles: int = 200_000
    idle_seconds: float = 600
    heartbeat_seconds: float = 30

    def message(self) -> pb.Limits:
        """What `GetServerInfo` tells."""
        names = [field.name for field in pb.Limits.DESCRIPTOR.fields]
        return pb.Limits(**{name: getattr(self, name) for name in names})

    def check_image(self, width: int, height: int) -> None:
        """Raises `TooMuch`."""
        if width * height > self.image_pixels:
            raise TooMuch(
                f"an image of {width}×{height} px is too large for this server (at most {self.image_pixels:,} px); "
                "segment a smaller export"
            )

    def check_tiles(self, width: int, height: int, image_mpp: float, model_mpp: float, core: int) -> None:
        """Raises `TooMuch` where a tile, or the number of tiles of the whole grid, is too large; before any is made."""
        if core > self.core:
            raise TooMuch(
                f"a tile core of {core} px needs more memory than this server has for a tile; give at most {self.core}"
            )
        step = core * model_mpp / image_mpp
        tiles = max(1, width / step) * max(1, height / step)
        if tiles > self.tiles:
            raise TooMuch(
                f"{width}×{height} px at {image_mpp:g} µm/px make {tiles:,.0f} tiles, more than this server takes "
                f"({self.tiles:,}); "
                "check the resolution or choose a larger tile core"
            )

    def check_picture(self, width: int, height: int, what: str = "overview") -> None:
        """Raises `TooMuch`."""
        if max(width, height) > self.overview_side:
            raise TooMuch(
                f"the {what} of {width}×{height} px is too large; send at most {self.overview_side} px on the longer "
                "side"
            )

    def check_overview(self, width: int, height: int, image: tuple[int, int]) -> None:
        """Raises `TooMuch`, or `ProtocolError` for an overview that cannot be of this image."""
        self.check_picture(width, height)
        if width < 1 or height < 1:
            raise ProtocolError("the overview has no pixels; send the whole image in one small picture")
        factor = max(image) / max(width, height)
        # stored levels are rounded up or down, so a pixel or two more or less are the same picture
        if any(
            abs(side * factor - full) > 2 * factor + 0.01 * full
            for side, full in zip((width, height), image, strict=True)
        ):
            shown = f"{image[0]}×{image[1]} px"
            raise ProtocolError(
                f"an overview of {width}×{height} px cannot show an image of {shown}; send the whole image"
            )

    def __post_init__(self):
        times = self.idle_seconds, self.first_seconds, self.heartbeat_seconds
        if min(self.runs, self.openings, self.short_calls) < 1 or self.message_bytes < 1 << 20 or min(times) <= 0:
            raise UsageError("a server needs room for one run, messages of 1 MiB, and some time to wait")
        if self.runs_per_caller is not None and self.runs_per_caller < 1:
            raise UsageError("one token must be allowed at least one run at a time")
