"""Domains of METHOD S1: X holds many stains, Y one; nuclear density is matched between them.

Pure: stains and numbers in, domains out.  A *style* is a stain as a point: the unit optical densities of haematoxylin
and eosin, how much there is of them, how bright the glass is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.cluster.vq import kmeans2

from hemalum.errors import UsageError
from hemalum.stain.estimation import REFERENCE, Stain, unmix

AMOUNT = 0.25  # a doubled amount of stain counts as a turn of its optical density by 14°
DARK_NUCLEUS = 0.45  # share of haematoxylin's 99th percentile above which a pixel is taken for nucleus


def style(stain: Stain) -> np.ndarray:
    """float64 (9,): haematoxylin and eosin (unit rows), their amounts (logarithmic), brightness of the glass 0…1.

    >>> style(REFERENCE)[6:].round(2).tolist()
    [0.0, 0.0, 0.96]
    """
    amounts = AMOUNT * np.log2(np.maximum(stain.maxima, 0.05) / np.array(REFERENCE.maxima))
    return np.concatenate([*np.array(stain.matrix), amounts, [np.mean(stain.background) / 255]])


@dataclass(frozen=True)
class Domains:
    """Clusters of styles.

    Attributes:
        centres: float64 k×9.
        target: the cluster that is domain Y.
        reference: the stain that Y is normalized to: that of the image nearest to Y's centre, or the one the user
            named.
        rule: a sentence that says how Y was chosen.
    """

    centres: np.ndarray
    target: int
    reference: Stain
    rule: str

    def cluster(self, stain: Stain) -> int:
        return int(np.argmin(np.linalg.norm(self.centres - style(stain), axis=1)))

    def of(self, stain: Stain) -> str:
        """ "Y" in the target cluster, "X" elsewhere and where no stain could be estimated (`stain.note`)."""
        return "Y" if not stain.note and self.cluster(stain) == self.target else "X"

    def record(self) -> dict:
        return {
            "rule": self.rule,
            "target": self.target,
            "reference": self.reference.record(),
            "centres": self.centres.round(4).tolist(),
        }

    @classmethod
    def from_record(cls, record: dict) -> Domains:
        reference = Stain.from_record(record["reference"])
        return cls(np.array(record["centres"]), record["target"], reference, record["rule"])


def choose_target(stains: dict[str, Stain], clusters: int, named: list[str] | None = None) -> Domains:
    """Cluster the images' styles (k-means from the farthest points) and choose Y.

    Args:
        stains: by image; images whose stain could not be estimated decide nothing.
        clusters: k, at most as many as there are images.
        named: images that show the reference stain.  Y is the cluster most of them lie in.  Without, Y is the cluster
            nearest to `hemalum.stain.REFERENCE`, a clear violet and pink, among those that hold at least half of an
            equal share of the images.

    Raises:
        UsageError: no stain could be estimated, or none of the named ones.
    """
    clear = {name: stain for name, stain in stains.items() if not stain.note}
    if not clear:
        raise UsageError("no image has enough H&E-stained tissue to estimate a stain from; add images.")
    names = list(clear)
    points = np.array([style(clear[name]) for name in names])
    centres = kmeans2(points, _farthest(points, clusters), minit="matrix", iter=50, missing="raise")[0]
    nearest = np.argmin(np.linalg.norm(points[:, None] - centres, axis=2), axis=1)
    counts = np.bincount(nearest, minlength=len(centres))
    if named is not None:
        members = [i for i, name in enumerate(names) if name in set(named)]
        if not members:
            raise UsageError(
                "the stain of the reference that the configuration names cannot be estimated; "
                "name another image or slide."
            )
        target = int(np.bincount(nearest[members]).argmax())
        rule = f"the cluster of the named reference, {counts[target]} of {len(names)} images"
    else:
        distance = np.linalg.norm(centres - style(REFERENCE), axis=1)
        distance[counts < len(names) / (2 * len(centres))] = np.inf
        target = int(np.argmin(distance))
        rule = (f"the cluster nearest to the reference stain among those with enough images, "
                f"{counts[target]} of {len(names)} images")
        members = np.flatnonzero(nearest == target)
    middle = min(members, key=lambda i: np.linalg.norm(points[i] - centres[target]))
    return Domains(centres, target, clear[names[middle]], rule)


def _farthest(points: np.ndarray, count: int) -> np.ndarray:
    """Points to begin with: the one nearest to the mean, then always the one farthest from those taken.

    Copies are taken once.
    """
    taken = [points[np.argmin(np.linalg.norm(points - points.mean(0), axis=1))]]
    while len(taken) < count:
        distance = np.min([np.linalg.norm(points - p, axis=1) for p in taken], axis=0)
        if distance.max() < 1e-6:
            break
        taken.append(points[np.argmax(distance)])
    return np.array(taken)


def nuclear_density(pixels: np.ndarray, stain: Stain) -> float:
    """Share of pixels (uint8 h×w×3) that haematoxylin makes as dark as a nucleus: 0…1."""
    amount = cv2.GaussianBlur(unmix(pixels, stain.matrix, stain.background)[..., 0], (0, 0), 1.0)
    return float((amount > DARK_NUCLEUS * stain.maxima[0]).mean())


def match_density(density: np.ndarray, domain: np.ndarray, bins: int) -> np.ndarray:
    """How often to draw each tile, so that X and Y show equally many nuclei and the discriminator asks for no more.

    Densities are cut into quantiles of all tiles; each stratum gets the same share in both domains (the smaller
    domain's), divided equally among its tiles.  A stratum that one domain lacks is drawn from neither; if the domains
    share none, strata are made wider.

    Args:
        density: float (n,).  domain: "X" or "Y", (n,).

    Returns:
        float64 (n,), each domain's sum is 1 (0 for a domain without tiles, then the other one is drawn evenly).

    >>> match_density(np.array([0.1, 0.9, 0.1, 0.1, 0.9]), np.array(list("XXYYY")), 2).round(3).tolist()
    [0.5, 0.5, 0.25, 0.25, 0.5]
    """
    density, domain = np.asarray(density, float), np.asarray(domain)
    if len(set(domain)) < 2:
        return np.full(len(density), 1 / max(1, len(density)))
    while True:
        edges = np.unique(np.quantile(density, np.linspace(0, 1, bins + 1)[1:-1]))
        stratum = np.searchsorted(edges, density)
        counts = {name: np.bincount(stratum[domain == name], minlength=bins) for name in "XY"}
        smaller = min("XY", key=lambda name: counts[name].sum())
        share = np.where((counts["X"] > 0) & (counts["Y"] > 0), counts[smaller], 0.0)
        if share.any():
            break
        bins -= 1
    share /= share.sum()
    weights = np.zeros(len(density))
    for name in "XY":
        inside = domain == name
        weights[inside] = share[stratum[inside]] / counts[name][stratum[inside]]
    return weights
