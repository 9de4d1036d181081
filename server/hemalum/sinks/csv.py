"""A table with one nucleus a line: id, centroid, probability and the measurements; comma, point, UTF-8 with a byte
order mark, without which Excel shows µm as Âµm.

>>> import tempfile
>>> import numpy as np
>>> folder = tempfile.TemporaryDirectory()
>>> sink = CsvSink(Path(folder.name) / "a.csv", Target(10, 10, 0.5, "m", "i"))
>>> nuclei = Nuclei.of(np.array([[0, 0], [8, 0], [8, 8], [0, 8]]), np.array([0, 4]))
>>> sink.write(nuclei, ["6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed"])
>>> sink.close()
>>> sink.paths[0].read_text(encoding="utf-8-sig").splitlines()[1]
'6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed,0.500,0.500,0.250,0.250,1.0000'
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hemalum.files import PartFile
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks.base import Target
from hemalum.sinks.geojson import PROBABILITY

HEAD = ("Object ID", "Centroid X px", "Centroid Y px", "Centroid X µm", "Centroid Y µm", PROBABILITY)


class CsvSink:
    """See `hemalum.sinks.base.Sink`.  Centroids are level-0 px, pixel-corner convention, and the same in µm."""

    def __init__(self, path: Path, target: Target):
        self.paths = [Path(path)]
        self._file, self._target = PartFile(path), target
        self._file.write((",".join((*HEAD, *target.columns)) + "\n").encode("utf-8-sig"))
        self._line = "%s" + ",%.3f" * 4 + ",%.4f" * (1 + len(target.columns)) + "\n"

    def write(self, nuclei: Nuclei, ids: list[str]) -> None:
        """Append nuclei; `ids`: one UUID each.  Raises `DiskFull`."""
        if not len(nuclei):
            return
        columns = [nuclei.columns[name] for name in self._target.columns]
        table = np.column_stack(
            [nuclei.centroids, nuclei.centroids * self._target.mpp, nuclei.probability, *columns]
        ).tolist()
        self._file.write(
            "".join([self._line % (name, *row) for name, row in zip(ids, table, strict=True)]).encode("ascii")
        )

    def finish(self) -> None:
        self._file.finish()

    def close(self) -> None:
        self._file.commit()

    def abort(self) -> None:
        self._file.abort()
