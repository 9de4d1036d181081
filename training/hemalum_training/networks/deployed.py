"""A generator as it is shipped: uint8 pixels in, maps or normalized pixels out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from hemalum_training.config.network import GeneratorConfig
from hemalum_training.networks.convolutions import CellConv2d, with_plain_kernels
from hemalum_training.networks.generator import Generator
from hemalum_training.networks.pixels import to_bytes, to_float

HALO = 64           # a multiple of the stride
WINDOW = 256        # px at 0.5 µm/px, as is HALO
LARGEST_NUCLEUS_UM = 30.0
RANGE = 8.0         # of the head's output: beyond a logit of 8 a probability is 0 or 1


class Deployed(nn.Module):
    """uint8 1×H×W×3 RGB → float32 1×2×sH×sW at 0.25 µm/px: foreground probability, distance 0…1.

    The input is a tile with its halo, which begins at a multiple of 128 µm, so that its first window begins with it.
    Maps of a decoder at 0.5 µm/px are enlarged; a decoder of one channel gives its foreground in place of the distance,
    so that nuclei are its connected components and, where `part_um2` is set, their parts.

    The generator's copy computes the same in numbers that 8 bits hold: it sees (pixel - 128) / 127.5, which are the
    pixels themselves with a scale, and its head gives both channels within ±`RANGE`.  Folded pixels stay as they lie in
    memory, row, column, colour; where nothing but the first layer reads the image, it reads them by `CellConv2d`.
    """

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = deepcopy(generator)
        encoder, decoder = self.generator.encoder, self.generator.segmentation
        with_plain_kernels(encoder)
        readers = [encoder] if generator.config.decoder == "pyramid" else [encoder, decoder.trunk.stem]
        self.by_cells = len(readers) == 1 and CellConv2d.fits(_first(encoder, nn.Conv2d)[1])
        with torch.no_grad():
            for part in readers:
                name, convolution = _first(part, nn.Conv2d)
                _, norm = _first(part, nn.BatchNorm2d)
                norm.running_mean -= convolution.weight.sum((1, 2, 3)) * (0.5 / 127.5)
                if self.by_cells:
                    part.set_submodule(name, CellConv2d(convolution, generator.config.fold))
                else:
                    convolution.weight.copy_(convolution.weight.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2))
            if generator.config.segmentation_channels > 1:
                distance = slice(decoder.scale**2, 2 * decoder.scale**2)
                decoder.head.weight[distance] *= 2 * RANGE
                decoder.head.bias[distance] = (decoder.head.bias[distance] - 0.5) * 2 * RANGE

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        (n, height, width, _), fold = pixels.shape, self.generator.config.fold
        if self.by_cells:
            folded = _first(self.generator.encoder, nn.Conv2d)[1].as_cells(pixels)
        else:
            rows = pixels.reshape(n, height // fold, fold, width // fold, 3 * fold).transpose(2, 3)
            folded = rows.reshape(n, height // fold, width // fold, 3 * fold**2).permute(0, 3, 1, 2)
        image = (folded.to(self.generator.reduce[0].weight.dtype) - 128) / 127.5
        logits = self.generator.of_folded(image)["segmentation"]
        foreground = logits[:, :1].sigmoid()
        distance = (logits[:, 1:2] / (2 * RANGE) + 0.5).clamp(0, 1) if logits.shape[1] > 1 else foreground
        maps = torch.cat([foreground, distance], 1)
        maps = maps if maps.dtype == torch.float32 else maps.float()
        if self.generator.config.output_scale == 2:
            return maps
        return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _first(part: nn.Module, kind: type) -> tuple[str, nn.Module]:
    return next((name, module) for name, module in part.named_modules() if isinstance(module, kind))


class Translating(nn.Module):
    """uint8 1×H×W×3 RGB → uint8 1×H×W×3 in domain Y's stain: the generator's normalization decoder, the patent's S4."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        image = to_float(pixels.permute(0, 3, 1, 2))
        translated = self.generator(image, segmentation=False, normalized=True)["normalized"]
        return to_bytes(translated).permute(0, 2, 3, 1)


def load_generator(weights: Path) -> Generator:
    """The generator of a `weights.pt`, in evaluation mode."""
    state = torch.load(weights, weights_only=True, map_location="cpu")
    generator = Generator(GeneratorConfig(**state["config"]["network"]), imagenet=False)
    generator.load_state_dict(state["network"])
    return generator.eval()
