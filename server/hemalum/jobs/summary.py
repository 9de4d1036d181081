"""What a job keeps of each finished slide for its report: counts, distributions, two small pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from hemalum.nuclei.measure import AREA, HAEMATOXYLIN
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import NucleiFound
from hemalum.runs.run import Run
from hemalum.runs.writing import Outcome
from hemalum.sinks.overlay import COLOUR, draw_outlines

PICTURE = 420  # px, the longest side of a picture in the report
OUTLINES = 1.0  # µm per px up to which outlines can be told apart; beyond, how much of a px is nuclei is painted
EDGES = {AREA: np.linspace(0, 400, 81), HAEMATOXYLIN: np.linspace(0, 2.4, 61)}


class Statistics:
    """Adds up a run's nuclei while its events pass through `watch`; a few hundred numbers, whatever the slide's size.

    Args:
        overview: uint8 h×w×3.  region: x, y, width, height in level-0 px, or None.
    """

    def __init__(self, run: Run, overview: np.ndarray, region: tuple[int, int, int, int] | None = None):
        self._size, self._mpp = (run.image.width, run.image.height), run.image.mpp
        self._picture = _shrunk(overview)
        self._step = max(self._size) / max(self._picture.shape[:2])  # level-0 px a px of the picture
        self._outlined = self._picture.copy() if self._step * self._mpp <= OUTLINES else None
        self._cover: np.ndarray = np.zeros(self._picture.shape[:2])
        self._histograms = {
            name: np.zeros(len(edges) - 1, np.int64) for name, edges in EDGES.items() if name in run.columns
        }
        self._sums = dict.fromkeys(self._histograms, 0.0)
        self._count = 0
        mask = run.mask.copy()
        if region is not None:
            inside = np.zeros_like(mask)
            step = max(self._size) / max(mask.shape)
            x, y, width, height = (round(value / step) for value in region)
            inside[y : y + max(1, height), x : x + max(1, width)] = True
            mask &= inside
        self.tissue_mm2 = float(mask.mean()) * self._size[0] * self._size[1] * self._mpp**2 / 1e6

    def watch(self, events: Iterable) -> Iterator:
        """The same events."""
        try:
            for event in events:
                if isinstance(event, NucleiFound):
                    self.add(event.nuclei)
                yield event
        finally:
            if hasattr(events, "close"):
                events.close()

    def add(self, nuclei: Nuclei) -> None:
        self._count += len(nuclei)
        if self._outlined is not None:
            if len(nuclei):
                draw_outlines(self._outlined, nuclei.vertices, nuclei.offsets, self._step)
        else:
            height, width = self._cover.shape
            at = np.clip((nuclei.centroids / self._step).astype(int), 0, (width - 1, height - 1))
            np.add.at(self._cover, (at[:, 1], at[:, 0]), nuclei.areas() / self._step**2)
        for name, counts in self._histograms.items():
            column, edges = nuclei.columns[name].astype(np.float64), EDGES[name]
            counts += np.histogram(np.clip(column, edges[0], edges[-1]), edges)[0]
            self._sums[name] += float(np.nansum(column))

    def content(self, outcome: Outcome) -> dict:
        """Plain values for `state.json`."""
        return {
            "nuclei": self._count,
            "tissue_mm2": round(self.tissue_mm2, 6),
            "density_per_mm2": round(self._count / self.tissue_mm2, 1) if self.tissue_mm2 else None,
            "histograms": {name: counts.tolist() for name, counts in self._histograms.items()},
            "means": {name: round(value / max(1, self._count), 4) for name, value in self._sums.items()},
            "seconds": outcome.record["seconds"],
            "tiles": outcome.summary.tiles,
            "failed_tiles": {str(tile): reason for tile, reason in outcome.summary.failed.items()},
            "outputs": [path.name for path in outcome.paths],
            "notices": outcome.notices,
            "pictures": [_jpeg(self._picture), _jpeg(self._overlay())],
        }

    def _overlay(self) -> np.ndarray:
        if self._outlined is not None:
            return self._outlined
        alpha = np.clip(cv2.GaussianBlur(self._cover, (0, 0), 1.0) * 2, 0, 0.8)[..., None]
        return (self._picture * (1 - alpha) + np.array(COLOUR) * alpha).astype(np.uint8)


def _shrunk(overview: np.ndarray) -> np.ndarray:
    """At most 420 px, and of a long thin image at least one px wide."""
    shrink = min(1.0, PICTURE / max(overview.shape[:2]))
    height, width = (max(1, round(side * shrink)) for side in overview.shape[:2])
    return cv2.resize(overview, (width, height), interpolation=cv2.INTER_AREA) if shrink < 1 else overview.copy()


def _jpeg(picture: np.ndarray) -> str:
    """Base64 of a JPEG."""
    options = (
        cv2.IMWRITE_JPEG_QUALITY,
        80,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    )  # thin outlines stay green
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)[1]
    return base64.b64encode(encoded.tobytes()).decode("ascii")
