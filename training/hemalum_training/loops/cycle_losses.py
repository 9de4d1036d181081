"""The two generators and two discriminators of the method, and every term of their losses (METHOD S2).

For teacher and student alike.  What is ours: BatchNorm statistics of the generators follow real tiles only, since only
real tiles are seen in use.
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

    def __post_init__(self):
        tiles = len(self.x)
        assert self.y.shape == self.x.shape, f"x {tuple(self.x.shape)} and y {tuple(self.y.shape)} differ in size"
        assert len(self.x_labelled) == len(self.y_pseudo) == tiles, (
            f"{len(self.x_labelled)} and {len(self.y_pseudo)} marks for {tiles} tiles of each domain"
        )
        assert self.own.shape[1:] == self.x.shape[1:], (
            f"own {tuple(self.own.shape)} and x {tuple(self.x.shape)} differ in size"
        )


@dataclass
class Labelled:
    """Labelled tiles for a step of segmentation alone: `x` N×3×c×c, `targets` N×3×2c×2c."""

    x: torch.Tensor
    targets: torch.Tensor

    def __post_init__(self):
        (count, _, *tile), (labelled, _, *target) = self.x.shape, self.targets.shape
        assert labelled == count and target == [2 * side for side in tile], (
            f"targets {tuple(self.targets.shape)} do not lie on tiles {tuple(self.x.shape)} at twice their resolution"
        )


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

    def __init__(self, network: GeneratorConfig, cycle: Cycle, seed: int, device: str = "cpu",
                 init: dict | None = None):
        torch.manual_seed(seed)
        self.cycle, self.device = cycle, device
        self.g_xy = Generator(network).to(device, memory_format=torch.channels_last)
        self.g_yx = Generator(network).to(device, memory_format=torch.channels_last)
        if init is not None:
            for generator in (self.g_xy, self.g_yx):
                generator.begin_from(init)
        self.d_x = PatchDiscriminator(cycle.discriminator_width, cycle.discriminator_normalization).to(device)
        self.d_y = PatchDiscriminator(cycle.discriminator_width, cycle.discriminator_normalization).to(device)

    def precision(self):
        """The context of the forward passes."""
        if self.cycle.amp == "bf16":
            return torch.autocast(torch.device(self.device).type, torch.bfloat16)
        return nullcontext()

    def labelled_loss(self, labelled: Labelled) -> torch.Tensor:
        """Segmentation loss of G_X2Y alone."""
        return self._segmentation(self._pass(self.g_xy, labelled.x)["segmentation"], labelled.targets)

    def generator_terms(self, batch: Batch) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Every term of the generators' loss that the configuration asks for, and the fakes (x, y)."""
        c, hand = self.cycle, ~batch.y_pseudo
        pseudo_cycle = c.pseudo_cycle and bool(batch.y_pseudo.any())
        both_masks = c.cycle_segmentation or c.consistency > 0
        on_x = self._pass(self.g_xy, batch.x, normalized=True)
        on_y = self._pass(self.g_yx, batch.y, normalized=True)
        fake_y, fake_x = on_x["normalized"], on_y["normalized"]
        back_x = self._pass(self.g_yx, fake_y, segmentation=both_masks, normalized=True, real=False)
        back_y = self._pass(self.g_xy, fake_x, segmentation=both_masks or pseudo_cycle, normalized=True, real=False)
        terms = {"gan": gan_generator(self._judge(self.d_y, fake_y)) + gan_generator(self._judge(self.d_x, fake_x)),
                 "cycle": cycle_loss(batch.x, back_x["normalized"], batch.y, back_y["normalized"])}
        if c.lambda_identity or c.identity_segmentation:
            masks = c.identity_segmentation
            same_y = self._pass(self.g_xy, batch.y, segmentation=masks, normalized=True, real=masks)
            if masks and hand.any():
                terms["segmentation_identity"] = self._segmentation(same_y["segmentation"], batch.y_targets, hand)
        if c.lambda_identity:
            same_x = self._pass(self.g_yx, batch.x, segmentation=False, normalized=True, real=False)
            terms["identity"] = (F.l1_loss(same_y["normalized"], batch.y)
                                 + F.l1_loss(same_x["normalized"], batch.x))
        terms |= self._segmentation_terms(batch, on_x, on_y, back_x, back_y)
        if c.consistency:
            terms["consistency"] = (consistency_loss(on_x["segmentation"], back_x["segmentation"])
                                    + consistency_loss(on_y["segmentation"], back_y["segmentation"]))
        return terms, (fake_x, fake_y)

    def _segmentation_terms(self, batch: Batch, on_x: dict, on_y: dict, back_x: dict,
                            back_y: dict) -> dict[str, torch.Tensor]:
        """What hand and pseudo labels teach; `on_…` are the passes of real tiles, `back_…` those of their fakes."""
        c, hand, labelled, pseudo = self.cycle, ~batch.y_pseudo, batch.x_labelled, batch.y_pseudo
        terms = {}
        if labelled.any():
            terms["segmentation_x"] = self._segmentation(on_x["segmentation"], batch.x_targets, labelled)
            if c.cycle_segmentation:
                terms["segmentation_cycle_x"] = self._segmentation(back_x["segmentation"], batch.x_targets, labelled)
        terms["segmentation_y"] = self._segmentation(on_y["segmentation"], batch.y_targets)
        if c.cycle_segmentation and hand.any():
            terms["segmentation_cycle_y"] = self._segmentation(back_y["segmentation"], batch.y_targets, hand)
        if pseudo.any() and c.pseudo_own:
            own = self._pass(self.g_xy, batch.own)
            terms["pseudo_own"] = self._segmentation(own["segmentation"], batch.y_targets[pseudo])
        if pseudo.any() and c.pseudo_cycle:
            terms["pseudo_cycle"] = self._segmentation(back_y["segmentation"], batch.y_targets, pseudo)
        return terms

    def total(self, terms: dict):
        """The weighted sum of the terms; works on tensors and on numbers."""
        c = self.cycle
        weights = {"gan": c.lambda_gan, "cycle": c.lambda_cycle, "identity": c.lambda_identity,
                   "consistency": c.consistency}
        return sum(weights.get(name, c.lambda_segmentation) * value for name, value in terms.items())

    def _pass(self, generator, image, segmentation=True, normalized=False, real=True):
        call = partial(generator, segmentation=segmentation, normalized=normalized)
        with nullcontext() if real else frozen_statistics(generator):
            if not self.cycle.gradient_checkpointing:
                return call(image)
            # the backward pass works the tile again and must not count it twice
            return checkpoint(call, image, use_reentrant=False,
                              context_fn=lambda: (nullcontext(), frozen_statistics(generator)))

    def _segmentation(self, logits, targets, tiles=None):
        if tiles is not None:
            logits, targets = logits[tiles], targets[tiles]
        logits = logits.float()
        return segmentation_loss(logits, fit_targets(targets, logits), self.cycle.dice, self.cycle.distance)

    def _judge(self, discriminator, fake):
        # the generator's loss needs the way through the discriminator, not the discriminator's own gradients
        discriminator.requires_grad_(False)
        out = discriminator(fake)
        discriminator.requires_grad_(True)
        return out.float()

    def discriminator_loss(self, batch: Batch, replayed_x: torch.Tensor, replayed_y: torch.Tensor) -> torch.Tensor:
        """Both discriminators' loss of real tiles and of the fakes from the replay pools."""
        loss_x = gan_discriminator(self.d_x(batch.x).float(), self.d_x(replayed_x).float())
        loss_y = gan_discriminator(self.d_y(batch.y).float(), self.d_y(replayed_y).float())
        return loss_x + loss_y
