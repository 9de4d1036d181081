"""Nuclei that grew as large as the model allows: a few are long ones, many mean a wrong resolution.

>>> from hemalum.nuclei.nuclei import Nuclei
>>> turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
>>> disc = np.stack([np.cos(turn), np.sin(turn)], 1)
>>> two = Nuclei.of(np.concatenate([disc * 60, disc * 40 + 200]) * 8, [0, 60, 120])
>>> at_limit(two, 120.0).tolist()
[True, False]
"""

from __future__ import annotations

import numpy as np

from hemalum.nuclei.nuclei import UNIT, Nuclei

NEAR = 0.97  # of the largest radius: an outline is smoothed, and a centroid is not the marker's centre
MANY = 0.03  # of the nuclei; real tissue at its true resolution stays below 0.5 %


def at_limit(nuclei: Nuclei, largest: float) -> np.ndarray:
    """Which nuclei reach the largest extent from a marker's centre, at which growth stops.

    Args:
        largest: longest extent of a nucleus, level-0 px.

    Returns:
        bool N.
    """
    if not len(nuclei):
        return np.zeros(0, bool)
    centres = np.repeat(nuclei.centroids, np.diff(nuclei.offsets), axis=0)
    distances = np.hypot(*(nuclei.vertices / UNIT - centres).T)
    return np.maximum.reduceat(distances, nuclei.offsets[:-1]) >= NEAR * largest / 2


def size_notice(count: int, nuclei: int, largest_um: float) -> str:
    """A sentence where many of the nuclei reached the limit, else "".

    >>> size_notice(12, 100, 30.0)
    "12 % of the nuclei reached 30 µm, the model's limit; the image's resolution may be wrong: check --mpp"
    """
    if count < MANY * nuclei or not count:
        return ""
    share = f"{100 * count / nuclei:.0f} % of the nuclei reached {largest_um:g} µm, the model's limit"
    return f"{share}; the image's resolution may be wrong: check --mpp"
