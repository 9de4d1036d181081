"""The learned normalization: a small function of colour, conditioned on the stain of the whole image.

It was fitted to a teacher that brings many stains to one (`hemalum_training.stain.distil`; the card in the file says
which) and needs NumPy alone: a perceptron that reads a pixel's optical density and the image's stain and says by how
much that density changes.

>>> function = bundled()
>>> function.target.method, function.density(np.array([[0.2, 0.5, 0.3]]), function.target).shape
('macenko', (1, 3))
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from hemalum.errors import UsageError
from hemalum.stain.estimation import Stain

FURTHEST = 2.5  # deviations from the mean of what was learned from: a stain farther away counts as one that far away


def statistics(stain: Stain) -> np.ndarray:
    """What the function knows of an image: float64 (14,).

    Both stain vectors, logarithms of their amounts, CIELAB means and deviations.
    """
    return np.concatenate([*stain.matrix, np.log(np.maximum(stain.maxima, 0.05)), stain.lab_mean, stain.lab_std])


@dataclass(frozen=True)
class ColourFunction:
    """A perceptron with tanh between its layers.

    Attributes:
        layers: (weights inputs × outputs, biases), the first one with 3 + 14 inputs, the last one with 3 outputs.
        mean, scale: (14,) that bring `statistics` to mean 0 and deviation 1; a scale of 0 leaves a statistic out.
        target: the stain that the function was taught to produce.
        card: what it was learned from.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    mean: np.ndarray
    scale: np.ndarray
    target: Stain
    card: dict

    def density(self, density: np.ndarray, stain: Stain) -> np.ndarray:
        """Optical densities as they are in an image of this stain → in `target`.

        Both float64 n×3, base 10, against the glass of their own image.
        """
        known = np.clip((statistics(stain) - self.mean) * self.scale, -FURTHEST, FURTHEST)
        (weights, bias), *rest = self.layers
        value = density @ weights[:3] + (known @ weights[3:] + bias)  # the image's part is the same for every colour
        for weights, bias in rest:
            value = np.tanh(value) @ weights + bias
        return density + value

    def write(self, path) -> None:
        """As a compressed `.npz` of float32 arrays."""
        card = json.dumps({**self.card, "target": self.target.record()}, ensure_ascii=False)
        arrays = {
            "mean": self.mean.astype(np.float32),
            "scale": self.scale.astype(np.float32),
            "card": np.array(card),
        }
        for i, (weights, biases) in enumerate(self.layers):
            arrays[f"w{i}"], arrays[f"b{i}"] = weights.astype(np.float32), biases.astype(np.float32)
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path) -> ColourFunction:
        """Raises `UsageError` where the file is not one that `write` has written."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {k: file[k].astype(np.float64) for k in file.files if k != "card"}
                card = json.loads(str(file["card"]))
            count = sum(name.startswith("w") for name in arrays)
            layers = tuple((arrays[f"w{i}"], arrays[f"b{i}"]) for i in range(count))
            target = Stain.from_record(card.pop("target"))
            return cls(layers, arrays["mean"], arrays["scale"], target, card=card)
        except (OSError, KeyError, ValueError) as error:
            raise UsageError(f"{path} holds no learned stain ({error}); make it with `hemalum train distil`") from None


@lru_cache(maxsize=1)
def bundled() -> ColourFunction:
    """The function that ships with Hemalum."""
    return ColourFunction.read(files("hemalum") / "data" / "learned_stain.npz")
