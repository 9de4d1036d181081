"""What the tests of training share: a narrow generator and drawn tiles whose nuclei are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
torch.set_num_threads(1)

NARROW = {
    "encoder": "test_resnet",
    "transformer_depth": 1,
    "transformer_heads": 2,
    "bottleneck": 16,
    "widths": [16, 12, 8, 8],
    "fine": 8,
    "normalization": True,
}

SMALL = {
    "encoder": "tf_efficientnet_lite0",
    "depths": [1, 1, 1, 1, 1, 1, 0],
    "smooth": True,
    "decoder": "pyramid",
    "fold": 2,
    "bottleneck": 16,
    "transformer_depth": 1,
    "widths": [16, 16, 16, 16],
}


def drawn_tile(seed: int, side: int = 192, nuclei: int = 14, eosin=(225, 170, 205), haematoxylin=(110, 70, 150)):
    """uint8 side×side×3 and int32 labels at 0.25 µm/px: dark discs of 9–14 px on pink."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(eosin) + rng.normal(0, 6, (side, side, 3)), 0, 255).astype(np.uint8)
    labels = np.zeros((side, side), np.int32)
    for _ in range(20 * nuclei):
        x, y = (int(v) for v in rng.integers(8, side - 8, 2))
        radius = int(rng.integers(9, 15))
        disc = cv2.circle(np.zeros((side, side), np.uint8), (x, y), radius, 1, -1).astype(bool)
        if not labels[cv2.dilate(disc.astype(np.uint8), np.ones((5, 5))).astype(bool)].any():
            labels[disc] = labels.max() + 1
            pixels[disc] = np.clip(np.array(haematoxylin) + rng.normal(0, 8, (int(disc.sum()), 3)), 0, 255)
        if labels.max() == nuclei:
            break
    return pixels, labels


@pytest.fixture
def narrow():
    from hemalum_training.config.network import GeneratorConfig

    def make(**changes):
        return GeneratorConfig(**{**NARROW, **changes})

    return make


@pytest.fixture(scope="session")
def small():
    """`small(**changes)`: a generator of the kind made for 8 bits, whose every weight does something."""
    from hemalum_training.config.network import GeneratorConfig
    from hemalum_training.networks import Generator

    def make(**changes):
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig(**{**SMALL, **changes}), imagenet=False).eval()
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return generator

    return make


@pytest.fixture(scope="session")
def drawn():
    """`drawn(seed, **colours)`: a drawn tile as a labelled image."""
    from hemalum_training.data.labelled import LabelledImage, distance_map

    def make(seed: int, **colours):
        pixels, labels = drawn_tile(seed, **colours)
        return LabelledImage(f"drawn/{seed}", pixels, labels, distance_map(labels).astype(np.float16))

    return make
