"""The two generators and two discriminators of the method, and every term of their losses (METHOD S2), for teacher and student alike.

What is ours: BatchNorm statistics of the generators follow real tiles only, since only real tiles are seen in use.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from hemalum_training.config.method import Cycle
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.loops.losses import (
    consistency_loss,
    cycle_loss,
    fit_targets,
    gan_discriminator,
    gan_generator,
    segmentation_loss,
)
from hemalum_training.networks import Generator, PatchDiscriminator


@dataclass
class Batch:
    """Tiles of both domains.

    Attributes:
        x, y: N×3×c×c in [-1, 1].
        x_targets, y_targets: N×3×2c×2c, see `augment.sample_crop`; of an unlabelled tile they are not read.
        x_labelled: bool N, tiles of X that have a hand label.
        y_pseudo: bool N, tiles of Y that are normalized tiles with a pseudo label.
        own: M×3×c×c, the un-normalized images of those M tiles, in order and of the same geometry.
    """

    x: torch.Tensor
    x_targets: torch.Tensor
    x_labelled: torch.Tensor
    y: torch.Tensor
    y_targets: torch.Tensor
    y_pseudo: torch.Tensor
    own: torch.Tensor


@dataclass
class Labelled:
    """Labelled tiles for a step of segmentation alone: `x` N×3×c×c, `targets` N×3×2c×2c."""

    x: torch.Tensor
    targets: torch.Tensor


@contextmanager
def frozen_statistics(network: torch.nn.Module):
    """BatchNorm normalizes by the batch but does not remember it."""
    layers = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum


class CycleNetworks:
    """The networks `g_xy`, `g_yx`, `d_x`, `d_y` and their losses.

    Args:
        network: shape of both generators.
        cycle: weights of the losses.
        seed: of the initial weights.
        init: weights both generators begin from (normalization may be missing), or None.
    """

    def __init__(self, network: GeneratorConfig, cycle: Cycle, seed: int, device: str = "cpu", init: dict | None = None):
        torch.manual_seed(seed)
        self.cycle, self.device = cycle, device
        self.g_xy, self.g_yx = (Generator(network).to(device, memory_format=torch.channels_last) for _ in range(2))
        if init is not None:
            for generator in (self.g_xy, self.g_yx):
                generator.begin_from(init)
        self.d_x, self.d_y = (PatchDiscriminator(cycle.discriminator_width, cycle.discriminator_normalization).to(device) for _ in range(2))

    def precision(self):
        """The context of the forward passes."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16) if self.cycle.amp == "bf16" else nullcontext()

    def labelled_loss(self, labelled: Labelled) -> torch.Tensor:
        """Segmentation loss of G_X2Y alone."""
        return self._segmentation(self._pass(self.g_xy, labelled.x)["segmentation"], labelled.targets)

    def generator_terms(self, batch: Batch) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Every term of the generators' loss that the configuration asks for, and the fakes (x, y)."""
        c = self.cycle
        on_x, on_y = self._pass(self.g_xy, batch.x, normalized=True), self._pass(self.g_yx, batch.y, normalized=True)
        fake_y, fake_x = on_x["normalized"], on_y["normalized"]
        hand = ~batch.y_pseudo
        wants_mask = c.cycle_segmentation or c.consistency > 0 or (c.pseudo_cycle and bool(batch.y_pseudo.any()))
        back_x = self._pass(self.g_yx, fake_y, segmentation=c.cycle_segmentation or c.consistency > 0, normalized=True, real=False)
        back_y = self._pass(self.g_xy, fake_x, segmentation=wants_mask, normalized=True, real=False)
        terms = {"gan": gan_generator(self._judge(self.d_y, fake_y)) + gan_generator(self._judge(self.d_x, fake_x)),
                 "cycle": cycle_loss(batch.x, back_x["normalized"], batch.y, back_y["normalized"])}
        if c.lambda_identity or c.identity_segmentation:
            same_y = self._pass(self.g_xy, batch.y, segmentation=c.identity_segmentation, normalized=True, real=c.identity_segmentation)
            if c.identity_segmentation and hand.any():
                terms["segmentation_identity"] = self._segmentation(same_y["segmentation"], batch.y_targets, hand)
        if c.lambda_identity:
            same_x = self._pass(self.g_yx, batch.x, segmentation=False, normalized=True, real=False)["normalized"]
            terms["identity"] = F.l1_loss(same_y["normalized"], batch.y) + F.l1_loss(same_x, batch.x)
        if batch.x_labelled.any():
            terms["segmentation_x"] = self._segmentation(on_x["segmentation"], batch.x_targets, batch.x_labelled)
            if c.cycle_segmentation:
                terms["segmentation_cycle_x"] = self._segmentation(back_x["segmentation"], batch.x_targets, batch.x_labelled)
        terms["segmentation_y"] = self._segmentation(on_y["segmentation"], batch.y_targets)
        if c.cycle_segmentation and hand.any():
            terms["segmentation_cycle_y"] = self._segmentation(back_y["segmentation"], batch.y_targets, hand)
        if batch.y_pseudo.any():
            if c.pseudo_own:
                terms["pseudo_own"] = self._segmentation(self._pass(self.g_xy, batch.own)["segmentation"], batch.y_targets[batch.y_pseudo])
            if c.pseudo_cycle:
                terms["pseudo_cycle"] = self._segmentation(back_y["segmentation"], batch.y_targets, batch.y_pseudo)
        if c.consistency:
            terms["consistency"] = (consistency_loss(on_x["segmentation"], back_x["segmentation"])
                                    + consistency_loss(on_y["segmentation"], back_y["segmentation"]))
        return terms, (fake_x, fake_y)

    def total(self, terms: dict):
        """The weighted sum of the terms; works on tensors and on numbers."""
        c = self.cycle
        weights = {"gan": c.lambda_gan, "cycle": c.lambda_cycle, "identity": c.lambda_identity, "consistency": c.consistency}
        return sum(weights.get(name, c.lambda_segmentation) * value for name, value in terms.items())

    def _pass(self, generator, image, segmentation=True, normalized=False, real=True):
        call = partial(generator, segmentation=segmentation, normalized=normalized)
        with nullcontext() if real else frozen_statistics(generator):
            if not self.cycle.gradient_checkpointing:
                return call(image)
            # the backward pass works the tile again and must not count it twice
            return checkpoint(call, image, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(generator)))

    def _segmentation(self, logits, targets, chosen=None):
        logits, targets = (logits, targets) if chosen is None else (logits[chosen], targets[chosen])
        logits = logits.float()
        return segmentation_loss(logits, fit_targets(targets, logits), self.cycle.dice, self.cycle.distance)

    def _judge(self, discriminator, fake):
        # the generator's loss needs the way through the discriminator, not the discriminator's own gradients
        discriminator.requires_grad_(False)
        out = discriminator(fake)
        discriminator.requires_grad_(True)
        return out.float()

    def discriminator_loss(self, batch: Batch, shown_x: torch.Tensor, shown_y: torch.Tensor) -> torch.Tensor:
        """Both discriminators' loss of real tiles and of the fakes that they are shown."""
        return sum(gan_discriminator(judge(real).float(), judge(fake).float())
                   for judge, real, fake in ((self.d_x, batch.x, shown_x), (self.d_y, batch.y, shown_y)))
