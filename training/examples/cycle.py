"""Ten steps of the method on two tiles, nothing hidden: the teacher's losses as METHOD S2 writes them.

    python training/examples/cycle.py

Domain X holds one tile, domain Y another of a different stain; both have hand labels.  `G_X2Y` gives the tile in Y's
stain and its nuclei.  What a real training adds: augmentation, a replay pool, averaged weights, validation
(`hemalum_training.loops`).
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from hemalum.grid.resample import box_mean
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.loops.losses import cycle_loss, gan_discriminator, gan_generator, segmentation_loss
from hemalum_training.networks import Generator, PatchDiscriminator
from hemalum_training.networks.pixels import to_input

SET = Path(__file__).parents[2] / "tests" / "data" / "nucls_sample"     # CC0, 0.25 µm/px
LAMBDA = {"gan": 1.0, "cycle": 10.0, "identity": 5.0, "segmentation": 10.0}


def tile(stem: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels 1×3×128×128 in [-1, 1] at 0.5 µm/px, and 1×1×128×128: how much of each pixel is nucleus."""
    pixels = np.array(Image.open(SET / "images" / f"{stem}.png").convert("RGB"))[:256, :256]
    labels = np.array(Image.open(SET / "labels" / f"{stem}.png"))[:256, :256]
    nuclei = torch.from_numpy((labels > 0).astype(np.float32))
    return to_input(box_mean(pixels, 2)[None]), F.avg_pool2d(nuclei[None, None], 2)


def train(steps: int = 10) -> list[dict[str, float]]:
    """The losses of each step."""
    torch.manual_seed(0)
    x, x_nuclei = tile("nucls_train_1")
    y, y_nuclei = tile("nucls_train_4")

    # one encoder, two decoders, attention gates on the skips; narrow, so that a CPU works a step in a moment
    shape = GeneratorConfig(encoder="test_resnet", transformer_depth=0, gates=True, normalization=True, bottleneck=32,
                            widths=[32, 24, 16, 16], fine=16, segmentation_channels=1, output_scale=1)
    g_x2y, g_y2x = Generator(shape, imagenet=False), Generator(shape, imagenet=False)
    d_x, d_y = PatchDiscriminator(width=8), PatchDiscriminator(width=8)
    of_generators = torch.optim.Adam([*g_x2y.parameters(), *g_y2x.parameters()], lr=2e-3, betas=(0.5, 0.999))
    of_discriminators = torch.optim.Adam([*d_x.parameters(), *d_y.parameters()], lr=2e-4, betas=(0.5, 0.999))

    history = []
    for step in range(1, steps + 1):
        # the generators: each tile into the other stain with its nuclei, back again, and a tile of the target as it is
        to_y, to_x = g_x2y(x, normalized=True), g_y2x(y, normalized=True)
        x_back = g_y2x(to_y["normalized"], segmentation=False, normalized=True)["normalized"]
        y_back = g_x2y(to_x["normalized"], segmentation=False, normalized=True)["normalized"]
        same_x = g_y2x(x, segmentation=False, normalized=True)["normalized"]
        same_y = g_x2y(y, segmentation=False, normalized=True)["normalized"]
        losses = {
            "gan": gan_generator(d_y(to_y["normalized"])) + gan_generator(d_x(to_x["normalized"])),
            "cycle": cycle_loss(x, x_back, y, y_back),
            "identity": F.l1_loss(same_x, x) + F.l1_loss(same_y, y),
            "segmentation": (segmentation_loss(to_y["segmentation"], x_nuclei, dice=0, distance=0)
                             + segmentation_loss(to_x["segmentation"], y_nuclei, dice=0, distance=0)),
        }
        losses["total"] = sum(LAMBDA[name] * loss for name, loss in losses.items())
        of_generators.zero_grad()
        losses["total"].backward()
        of_generators.step()

        # the discriminators: real tiles against the fakes, which teach the generators nothing here
        fake_x, fake_y = to_x["normalized"].detach(), to_y["normalized"].detach()
        losses["discriminators"] = gan_discriminator(d_x(x), d_x(fake_x)) + gan_discriminator(d_y(y), d_y(fake_y))
        of_discriminators.zero_grad()
        losses["discriminators"].backward()
        of_discriminators.step()

        history.append({name: float(loss.detach()) for name, loss in losses.items()})
        print(f"step {step:2}  " + "  ".join(f"{name} {value:.3f}" for name, value in history[-1].items()))
    return history


if __name__ == "__main__":
    train()
