"""A tile as the method's generator translates it (S4 of the patent), in the stain that its training named.

To look at beside the tile, never to measure: unlike a colour table, a network may change structures, and two tiles need
not match at their seam.  Only packages of the whole method have a generator.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from hemalum.compiled import cores
from hemalum.engine.base import fitted
from hemalum.engine.onnx_engine import open_session
from hemalum.errors import UsageError
from hemalum.models import GENERATOR, Card, Model

OUTPUT = "normalized"


def translated(model: Model, pixels: np.ndarray) -> np.ndarray:
    """The tile in the reference stain.

    Args:
        pixels: uint8 h×w×3 RGB at the card's `mpp`.

    Returns:
        uint8 h×w×3.

    Raises:
        UsageError: the model has no generator.
        DamagedModel: its file differs from its sha256 or cannot be loaded.

    Example:
        >>> from hemalum.models import find
        >>> translated(find("nuclei"), np.zeros((64, 64, 3), np.uint8))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        hemalum.errors.UsageError: model nuclei has no generator; choose one that `hemalum train all` made ...
    """
    if not model.translates:
        raise UsageError(
            f"model {model.id} has no generator; "
            "choose one that `hemalum train all` made with [method] and `normalization = true`"
        )
    height, width = pixels.shape[:2]
    tile = np.ascontiguousarray(fitted(pixels[None], model.card.input["multiple_of"]))
    session = _session(model.folder, model.card.files[GENERATOR])
    pictures = session.run([OUTPUT], {model.card.input["name"]: tile})[0]
    return pictures[0, :height, :width]


@lru_cache(maxsize=1)
def _session(folder: Path, _digest: str):
    return open_session(Model(Card.read(folder), folder), GENERATOR, cores(), OUTPUT)
