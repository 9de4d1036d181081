"""What Java's `FoundNucleiTest` reads as well: nuclei as they travel, and the outlines, names and centroids that both
sides must see.

`python tests/service/test_outlines_golden.py` writes the file again.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from hemalum.nuclei.nuclei import Nuclei
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.events import ids_of, nuclei_message, nuclei_of

GOLDEN = Path(__file__).parent.parent / "data" / "nuclei_message.json"


def drawn() -> Nuclei:
    """40 star-shaped outlines anywhere on a slide of 200,000 px, on the grid of 1/8 px."""
    rng = np.random.default_rng(7)
    rings = []
    for count in rng.integers(3, 60, 40):
        angle = np.sort(rng.uniform(0, 2 * np.pi, count))
        radius = rng.uniform(20, 160, count)
        centre = rng.integers(0, 200_000 * 8, 2)
        rings.append(np.round(centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])])
    nuclei = Nuclei.of(np.concatenate(rings), offsets)
    nuclei.columns["Area µm²"] = nuclei.areas().astype(np.float32)
    return nuclei


def described(message: pb.FoundNuclei) -> dict:
    nuclei = nuclei_of(message)
    return {
        "message": base64.b64encode(message.SerializeToString(deterministic=True)).decode(),
        "eighths": [
            nuclei.vertices[a:b].ravel().tolist() for a, b in zip(nuclei.offsets[:-1], nuclei.offsets[1:], strict=True)
        ],
        "ids": ids_of(message),
        "centroids": nuclei.centroids.ravel().tolist(),
        "areas": nuclei.columns["Area µm²"].tolist(),
    }


def test_nuclei_travel_as_they_did():
    golden = json.loads(GOLDEN.read_text())
    assert described(nuclei_message(drawn(), "model", "image")) == golden


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(described(nuclei_message(drawn(), "model", "image"))) + "\n")
