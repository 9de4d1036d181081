"""A generator: one encoder, an optional Transformer, a segmentation and a normalization decoder (METHOD S2, S3)."""

from __future__ import annotations

import torch
from torch import nn

from hemalum.errors import UsageError
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.networks.decoders import NormalizationDecoder, SegmentationDecoder
from hemalum_training.networks.encoders import create_encoder, fold_pixels, map_channels, unfold_first_layers
from hemalum_training.networks.pyramid import PyramidDecoder
from hemalum_training.networks.window_transformer import WindowTransformer


class Generator(nn.Module):
    """`G_X2Y` or `G_Y2X`.

    Forward: RGB N×3×H×W in [-1, 1] at 0.5 ÷ fold µm/px, H and W multiples of 32 · fold → dict with `segmentation`
    (logits N×c×sH×sW, s = output_scale ÷ fold) and, when asked for, `normalized` (N×3×H×W in [-1, 1]).  `offset`: cells
    of 32 px at 0.5 µm/px by which the tile begins inside its first window.  Without `imagenet` the encoder begins at
    random, whatever the configuration's `encoder_weights`.

    Example:
        >>> g = Generator(GeneratorConfig(encoder="tf_efficientnet_lite0"), imagenet=False).eval()
        >>> g(torch.zeros(1, 3, 64, 64))["segmentation"].shape
        torch.Size([1, 2, 128, 128])
    """

    def __init__(self, config: GeneratorConfig, imagenet: bool = True):
        super().__init__()
        self.config = config
        weights = config.encoder_weights if imagenet else "none"
        self.encoder = create_encoder(config.encoder, weights, config.fold, config.depths, smooth=config.smooth)
        *skips, last = map_channels(self.encoder, config.fold)
        skips = skips[::-1]
        convolution = nn.Conv2d(last, config.bottleneck, 1, bias=False)
        self.reduce = nn.Sequential(convolution, nn.BatchNorm2d(config.bottleneck), nn.ReLU())
        self.transformer = (WindowTransformer(config.bottleneck, config.transformer_depth, config.transformer_heads)
                            if config.transformer_depth else None)
        shape = (config.bottleneck, skips, config.widths, config.gates)
        maps = config.segmentation_channels, config.output_scale
        if config.decoder == "pyramid":
            self.segmentation = PyramidDecoder(*shape, *maps)
        else:
            self.segmentation = SegmentationDecoder(*shape, config.fine, *maps, 3 * config.fold**2)
        self.normalization = NormalizationDecoder(*shape, max(config.fine // 2, 8)) if config.normalization else None

    def begin_from(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over weights of the same shape.

        The normalization decoder may be missing, it then starts as the identity, or left over.  A decoder of another
        kind starts at random, as does the layer behind a last stage that `depths` leaves out; its blocks are left over.

        Raises:
            UsageError: another key is missing, left over or of another shape; names the first.
        """
        own, random = self.state_dict(), []
        if any(key.startswith("segmentation.trunk.") for key in weights) == (self.config.decoder == "pyramid"):
            random.append("segmentation.")
        if self.config.depths:
            weights = {k: v for k, v in weights.items() if k in own or not k.startswith("encoder.blocks.")}
            behind = weights.get("reduce.0.weight")
            if not self.config.depths[-1] and behind is not None and behind.shape != own["reduce.0.weight"].shape:
                random.append("reduce.")
        free = ("normalization.", *random)
        weights = {k: v for k, v in weights.items() if not k.startswith(tuple(random))}
        weights = unfold_first_layers(weights, own)
        weights = {k: v for k, v in weights.items() if k in own or not k.startswith("normalization.")}
        for key in [*own, *weights]:
            if key not in weights and not key.startswith(free) or key not in own:
                raise UsageError(f"the weights to begin from {'lack' if key in own else 'have an unknown'} {key}; "
                                 "name a model with the encoder and sizes of the configuration.")
            if key in weights and weights[key].shape != own[key].shape:
                raise UsageError(f"the weights to begin from have {key} of shape {tuple(weights[key].shape)}, "
                                 f"the configuration asks for {tuple(own[key].shape)}; "
                                 "name a model with the encoder and sizes of the configuration.")
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
