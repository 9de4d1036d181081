"""A generator: one encoder, an optional Transformer, a segmentation and a normalization decoder (METHOD S2, S3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import timm
import torch
from torch import nn

from hemalum.errors import UsageError

from ..tables import demand
from .decoders import NormalizationDecoder, SegmentationDecoder
from .encoders import create_encoder, fold_pixels, map_channels, unfold_first_layers
from .pyramid import PyramidDecoder
from .window_transformer import WindowTransformer


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes a generator's shape.

    AttCycle is `transformer_depth=0, gates=True`; TransCycle of the source is `encoder="resnet50", transformer_depth=4`.
    `fold = 2` reads 0.25 µm/px and still works at 0.5 (`fold_pixels`); `output_scale` counts from the 0.5.
    `decoder`: "unet" joins skips and has a stage of `fine` channels at 0.5 µm/px, "pyramid" adds them and has none (`pyramid`).
    `depths` and `smooth`: of the encoder, see `create_encoder`.
    """

    encoder: str = "tf_efficientnet_lite1"
    transformer_depth: int = 2
    transformer_heads: int = 4
    bottleneck: int = 128
    widths: list[int] = field(default_factory=lambda: [128, 96, 64, 48])
    fine: int = 32
    gates: bool = True
    segmentation_channels: int = 2
    output_scale: int = 2
    normalization: bool = False
    fold: int = 1
    decoder: str = "unet"
    depths: list[int] = field(default_factory=list)
    smooth: bool = False

    def __post_init__(self):
        demand("network",
               (timm.is_model(self.encoder), f"timm knows no encoder {self.encoder}"),
               (min(self.bottleneck, self.fine, *self.widths) > 0 and len(self.widths) == 4,
                "bottleneck, fine and the four widths (strides 16, 8, 4 and 2) must be at least 1"),
               (self.transformer_depth >= 0 and self.transformer_heads > 0 and self.bottleneck % self.transformer_heads == 0,
                "bottleneck must be a multiple of transformer_heads"),
               (self.segmentation_channels in (1, 2), "segmentation_channels is 1 (foreground) or 2 (and distance)"),
               (self.output_scale in (1, 2), "output_scale is 1 or 2"),
               (self.decoder in ("unet", "pyramid"), "decoder is “unet” or “pyramid”"),
               (self.fold == 1 or self.fold == 2 and self.output_scale == 2 and not self.normalization,
                "fold is 1, or 2 for a network without a normalization decoder whose output_scale is 2"))

    @property
    def mpp(self) -> float:
        """µm per input px."""
        return 0.5 / self.fold

    @property
    def stride(self) -> int:
        """Input px: sides are multiples of it."""
        return 32 * self.fold

    def as_dict(self) -> dict:
        return asdict(self)


class Generator(nn.Module):
    """`G_X2Y` or `G_Y2X`.

    Forward: RGB N×3×H×W in [-1, 1] at 0.5 ÷ fold µm/px, H and W multiples of 32 · fold → dict with `segmentation` (logits N×c×sH×sW,
    s = output_scale ÷ fold) and, when asked for, `normalized` (N×3×H×W in [-1, 1]).  `offset`: cells of 32 px at 0.5 µm/px by which
    the tile begins inside its first window.

    Example:
        >>> g = Generator(GeneratorConfig(encoder="tf_efficientnet_lite0"), imagenet=False).eval()
        >>> g(torch.zeros(1, 3, 64, 64))["segmentation"].shape
        torch.Size([1, 2, 128, 128])
    """

    def __init__(self, config: GeneratorConfig, imagenet: bool = True):
        super().__init__()
        self.config = config
        self.encoder = create_encoder(config.encoder, imagenet, config.fold, config.depths, config.smooth)
        *skips, last = map_channels(self.encoder, config.fold)
        skips = skips[::-1]
        self.reduce = nn.Sequential(nn.Conv2d(last, config.bottleneck, 1, bias=False), nn.BatchNorm2d(config.bottleneck), nn.ReLU())
        self.transformer = (WindowTransformer(config.bottleneck, config.transformer_depth, config.transformer_heads)
                            if config.transformer_depth else None)
        shape = (config.bottleneck, skips, config.widths, config.gates)
        maps = config.segmentation_channels, config.output_scale
        self.segmentation = (PyramidDecoder(*shape, *maps) if config.decoder == "pyramid"
                             else SegmentationDecoder(*shape, config.fine, *maps, 3 * config.fold**2))
        self.normalization = NormalizationDecoder(*shape, max(config.fine // 2, 8)) if config.normalization else None

    def begin_from(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over weights of the same shape.  The normalization decoder may be missing, it then starts as the identity, or left over; a
        decoder of another kind starts at random, as does the layer behind a last stage that `depths` leaves out; its blocks are left over.

        Raises:
            UsageError: another key is missing, left over or of another shape; names the first.
        """
        own, free = self.state_dict(), ["normalization."]
        if any(key.startswith("segmentation.trunk.") for key in weights) == (self.config.decoder == "pyramid"):
            free.append("segmentation.")
            weights = {k: v for k, v in weights.items() if not k.startswith("segmentation.")}
        if self.config.depths:
            weights = {k: v for k, v in weights.items() if k in own or not k.startswith("encoder.blocks.")}
            if not self.config.depths[-1]:
                free.append("reduce.")
                weights = {k: v for k, v in weights.items() if not k.startswith("reduce.")}
        weights = {k: v for k, v in unfold_first_layers(weights, own).items() if k in own or not k.startswith(tuple(free))}
        for key in [*own, *weights]:
            if key not in weights and not key.startswith(tuple(free)) or key not in own:
                raise UsageError(f"the weights to begin from {'lack' if key in own else 'have an unknown'} {key}; "
                                 "name a model with the encoder and sizes of the configuration.")
            if key in weights and weights[key].shape != own[key].shape:
                raise UsageError(f"the weights to begin from have {key} of shape {tuple(weights[key].shape)}, the configuration asks for "
                                 f"{tuple(own[key].shape)}; name a model with the encoder and sizes of the configuration.")
        self.load_state_dict(own | weights)

    def encode(self, image: torch.Tensor, offset: tuple[int, int] = (0, 0)) -> tuple[torch.Tensor, list[torch.Tensor]]:
        *skips, last = self.encoder(image)
        y = self.reduce(last)
        if self.transformer is not None:
            y = self.transformer(y, offset)
        return y, skips[::-1]

    def forward(self, image, offset=(0, 0), segmentation=True, normalized=False) -> dict[str, torch.Tensor]:
        return self.of_folded(fold_pixels(image, self.config.fold), offset, segmentation, normalized)

    def of_folded(self, image, offset=(0, 0), segmentation=True, normalized=False) -> dict[str, torch.Tensor]:
        """`forward` of pixels that `fold_pixels` has folded already, N×3·fold²×H×W."""
        y, skips = self.encode(image, offset)
        out = {}
        if segmentation:
            out["segmentation"] = self.segmentation(y, skips, image)
        if normalized:
            if self.normalization is None:
                raise ValueError("this generator was built without a normalization decoder: set `normalization = true`")
            out["normalized"] = self.normalization(y, skips, image)
        return out
