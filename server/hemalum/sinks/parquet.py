"""A Parquet table with one nucleus a row: id, centroid, probability, every measurement, and the outline as WKB.

Written in row groups as nuclei become final, so memory stays bounded.  Needs pyarrow (`pip install hemalum[batch]`).
The file's metadata holds `hemalum.mpp`, `hemalum.model` and `hemalum.image`.

>>> import tempfile
>>> import numpy as np
>>> folder = tempfile.TemporaryDirectory()
>>> sink = ParquetSink(Path(folder.name) / "a.parquet", Target(10, 10, 0.5, "m", "i"))
>>> nuclei = Nuclei.of(np.array([[0, 0], [8, 0], [8, 8], [0, 8]]), np.array([0, 4]))
>>> sink.write(nuclei, ["6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed"])
>>> sink.close()
>>> import pyarrow.parquet
>>> table = pyarrow.parquet.read_table(sink.paths[0])
>>> table.column_names[:3], table["Centroid X px"].to_pylist()
(['Object ID', 'Centroid X px', 'Centroid Y px'], [0.5])
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import shapely

from hemalum.errors import UsageError
from hemalum.files import PartFile
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks.base import Target
from hemalum.sinks.csv import HEAD

GROUP = 50_000  # nuclei a row group: some 20 MB in memory


class ParquetSink:
    """See `hemalum.sinks.base.Sink`.  Centroids are level-0 px, pixel-corner convention, and the same in µm.

    Raises:
        UsageError: pyarrow is not installed.  NotWritable: the file cannot be made.
    """

    def __init__(self, path: Path, target: Target):
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise UsageError("the format parquet needs pyarrow; install it with `pip install hemalum[batch]`") from None
        self._arrow, self._target = pyarrow, target
        self.paths = [Path(path)]
        self._waiting: list[tuple[Nuclei, list[str]]] = []
        self._count = 0
        measured = [pyarrow.float32()] * (1 + len(target.columns))
        types = [pyarrow.string(), *[pyarrow.float64()] * 4, *measured, pyarrow.binary()]
        fields = [
            pyarrow.field(name, kind, False)
            for name, kind in zip((*HEAD, *target.columns, "Outline WKB px"), types, strict=True)
        ]
        said = {"hemalum.mpp": repr(target.mpp), "hemalum.model": target.model, "hemalum.image": target.identity}
        self._schema = pyarrow.schema(fields, said)
        self._file = PartFile(path)
        with self._file.guarded():
            self._writer = pyarrow.parquet.ParquetWriter(self._file.file, self._schema, compression="zstd")

    def write(self, nuclei: Nuclei, ids: list[str]) -> None:
        """Append nuclei; `ids`: one UUID each.  Raises `DiskFull`."""
        self._waiting.append((nuclei, ids))
        self._count += len(nuclei)
        if self._count >= GROUP:
            self._flush()

    def finish(self) -> None:
        self._flush()
        with self._file.guarded():
            self._writer.close()
        self._file.finish()

    def close(self) -> None:
        self.finish()
        self._file.commit()

    def abort(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # what could not be written is not wanted any more
            self._writer.close()
        self._file.abort()

    def _flush(self) -> None:
        if not self._count:
            return
        waiting, self._waiting, self._count = self._waiting, [], 0
        nuclei = Nuclei.concat([part for part, _ in waiting])
        x, y = nuclei.centroids.T
        columns = [
            [name for _, names in waiting for name in names],
            x,
            y,
            x * self._target.mpp,
            y * self._target.mpp,
            nuclei.probability,
            *(nuclei.columns[name] for name in self._target.columns),
            shapely.to_wkb(nuclei.polygons()).tolist(),
        ]
        arrays = [
            self._arrow.array(np.ascontiguousarray(c) if isinstance(c, np.ndarray) else c, field.type)
            for c, field in zip(columns, self._schema, strict=True)
        ]
        with self._file.guarded():
            self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
