"""A pool of earlier fakes shown to the discriminator beside new ones.

Shrivastava et al. 2017, arXiv 1612.07828, section 2.3.
"""

from __future__ import annotations

import numpy as np
import torch

from hemalum_training.networks.pixels import to_bytes, to_float


class ReplayPool:
    """At most `size` fakes.  Kept in 8 bits like every real tile, so that a checkpoint is small and resumes to the bit.

    Example:
        >>> pool, rng = ReplayPool(2), np.random.default_rng(0)
        >>> pool.exchange(torch.zeros(2, 3, 4, 4), rng).shape, len(pool.images)
        (torch.Size([2, 3, 4, 4]), 2)
    """

    def __init__(self, size: int):
        self.size, self.images = size, []

    def exchange(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """N×3×H×W in [-1, 1] → as many: the new fakes, of which some take the place of earlier ones that come instead.

        Once the pool is full that happens to each with probability ½.
        """
        out = []
        for image in to_bytes(images):
            if len(self.images) < self.size:
                self.images.append(image)
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                image, self.images[place] = self.images[place], image
            out.append(image)
        return to_float(torch.stack(out))

    def state(self) -> torch.Tensor:
        """uint8 n×3×H×W on the CPU."""
        return torch.stack(self.images).cpu() if self.images else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)

    def load(self, state: torch.Tensor, device: str = "cpu") -> None:
        self.images = list(state.to(device))
