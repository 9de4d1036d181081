"""The two decoders of a generator: segmentation (maps at twice the input's resolution) and stain normalization."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from hemalum_training.networks.attention_gate import AttentionGate


class ConvBlock(nn.Sequential):
    """3×3 convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Decoder(nn.Module):
    """From stride 32 to stride 1 along (gated) skips.

    Args:
        bottleneck: channels at stride 32.
        skips: channels of the encoder's maps at strides 16, 8, 4, 2.
        widths: channels after each of the four steps up.
        gates: attention gates on the skips.
        fine: channels of the full-resolution stage.
        inputs: channels of the image: 3, or those of its folded pixels.

    Forward: bottleneck N×C×h×w, skips as above, image N×inputs×32h×32w in [-1, 1] → N×fine×32h×32w.
    """

    def __init__(self, bottleneck: int, skips: list[int], widths: list[int], gates: bool, fine: int, inputs: int = 3):
        super().__init__()
        self.gates, self.up = nn.ModuleList(), nn.ModuleList()
        width = bottleneck
        for skip, out in zip(skips, widths, strict=True):
            self.gates.append(AttentionGate(skip, width) if gates else nn.Identity())
            self.up.append(ConvBlock(width + skip, out))
            width = out
        self.gated = gates
        self.expand = nn.Conv2d(width, 4 * (fine // 2), 3, padding=1)
        self.stem = ConvBlock(inputs, fine // 2)
        self.finish = ConvBlock(2 * (fine // 2), fine)

    def forward(self, y: torch.Tensor, skips: list[torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        for gate, up, skip in zip(self.gates, self.up, skips, strict=True):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = up(torch.cat([y, gate(skip, y) if self.gated else skip], 1))
        y = F.pixel_shuffle(self.expand(y), 2)
        return self.finish(torch.cat([y, self.stem(image)], 1))


class SegmentationDecoder(nn.Module):
    """Logits of `channels` maps at `output_scale` times the image's resolution.

    `channels=1` is the patent's decoder (foreground); 2 adds the distance to the nucleus border, divided by its largest
    value in the nucleus, from which instances are told apart.
    """

    def __init__(self, bottleneck, skips, widths, gates=True, fine=32, channels=2, output_scale=2, inputs=3):
        super().__init__()
        self.scale = output_scale
        self.trunk = Decoder(bottleneck, skips, widths, gates, fine, inputs)
        self.head = nn.Conv2d(fine, channels * output_scale**2, 3, padding=1)

    def forward(self, y, skips, image):
        y = self.head(self.trunk(y, skips, image))
        return F.pixel_shuffle(y, self.scale) if self.scale > 1 else y


class NormalizationDecoder(nn.Module):
    """The tile in the other domain's stain, RGB in [-1, 1]: a bounded change added to the tile's own pixels.

    The residual form is ours: structure comes from the tile, the decoder learns the change of colour.
    """

    def __init__(self, bottleneck, skips, widths, gates=True, fine=16):
        super().__init__()
        self.trunk = Decoder(bottleneck, skips, widths, gates, fine)
        self.head = nn.Conv2d(fine, 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, y, skips, image):
        bounded = image.clamp(-0.99, 0.99)
        atanh = 0.5 * torch.log((1 + bounded) / (1 - bounded))      # ONNX opset 18 has no exporter for torch.atanh
        return torch.tanh(atanh + self.head(self.trunk(y, skips, image)))
