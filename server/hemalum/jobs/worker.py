"""What runs in a Dask worker: tiles of a slide that it opens itself, committed as one piece."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np

from hemalum import __version__
from hemalum.errors import HemalumError, UnreadableImage, VersionMismatch
from hemalum.grid.tiling import Plan, Tile
from hemalum.jobs.pieces import save
from hemalum.jobs.slide_run import Reader, Vanished

_mine = threading.local()  # a worker's thread keeps its engine and its open slide


def compute(source: dict, plan: Plan, tiles: list[Tile], folder: str, key: str) -> tuple[str | None, dict[int, str]]:
    """In a worker: compute tiles and commit them as one piece; returns the piece, and the tiles that failed, with
    reasons.

    Args:
        source: of `PieceRun`.  plan: without tiles.  folder, key: of the pieces.

    Raises:
        VersionMismatch: the worker has another Hemalum, or other weights under this model's name.
        HemalumError: the slide or the folder is not what it is where the job was started.
    """
    try:
        return _compute(source, plan, tiles, folder, key)
    except (HemalumError, Vanished) as error:
        kind = UnreadableImage if isinstance(error, Vanished) else type(error)
        raise kind(f"a worker on {socket.gethostname()} says: {error}") from None


def _compute(source: dict, plan: Plan, tiles: list[Tile], folder: str, key: str) -> tuple[str | None, dict[int, str]]:
    from hemalum.grid.resample import model_tile
    from hemalum.nuclei.from_maps import tile_nuclei

    engine, reader = _engine(source), _reader(source)
    found, failed = {}, {}
    for tile in tiles:
        try:
            pixels = model_tile(reader.read(tile.read, plan.scale.n), tile, plan)
        except UnreadableImage as error:
            failed[tile.index] = str(error)
            continue
        found[tile.index] = tile_nuclei(engine.maps(np.stack([pixels]))[0], pixels, tile, plan, source["settings"])
    return str(save(Path(folder), key, found)) if found else None, failed


def _engine(source: dict):
    import cv2

    from hemalum.engine import open_engine
    from hemalum.models import find

    wanted = source["model"]
    how = source["hemalum"], wanted["sha256"], source["device"], source["threads"], source["precision"]
    if getattr(_mine, "how", None) != how:
        cv2.setNumThreads(1)
        if source["hemalum"] != __version__:
            raise VersionMismatch(
                f"it has Hemalum {__version__}, not {source['hemalum']}; install the same version there"
            )
        model = find(wanted["id"], [wanted["folder"]] if Path(wanted["folder"]).is_dir() else [])
        if model.digest != wanted["sha256"]:
            has, needs = model.digest[:12], wanted["sha256"][:12]
            raise VersionMismatch(f"its model {model.id} has sha256 {has}…, not {needs}…; install the same model there")
        _mine.engine, _mine.how = open_engine(model, *how[2:]), how
    return _mine.engine


def _reader(source: dict) -> Reader:
    what = source["path"], source["mpp"], source["series"], source["identity"]
    if getattr(_mine, "what", None) != what:
        if (last := getattr(_mine, "reader", None)) is not None:
            last.slide.close()
        _mine.what, _mine.reader = None, None
        reader = Reader(Path(source["path"]), source["mpp"], source["series"])
        if reader.slide.identity != source["identity"]:
            raise UnreadableImage(f"{source['path']} is another image there; give all machines the same folders")
        _mine.reader, _mine.what = reader, what
    return _mine.reader
