"""A tile through a model's generator, from a real server."""

import numpy as np
import pytest

from hemalum.errors import TooMuch, UnknownModel, UsageError


def test_a_models_generator_translates_a_tile(client):
    tile = np.random.default_rng(3).integers(0, 256, (37, 101, 3), np.uint8)
    assert [model.id for model in client.info.models if model.generator] == ["toy"]
    assert (client.translated(tile, "toy") == 255 - tile).all()
    with pytest.raises(UsageError, match="nuclei has no generator; choose one that"):
        client.translated(tile)
    with pytest.raises(UnknownModel):
        client.translated(tile, "nobody")
    with pytest.raises(TooMuch, match="tile of 2049×1 px is too large"):
        client.translated(np.zeros((1, 2049, 3), np.uint8), "toy")
