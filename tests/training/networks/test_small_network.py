"""The network made for 8 bits: its shape, what it begins from, and what its export computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hemalum.errors import UsageError
from hemalum_training.networks import Generator
from hemalum_training.networks.convolutions import SmoothConv2d
from hemalum_training.networks.deployed import Deployed
from hemalum_training.networks.encoders import create_encoder


def same_maps(generator: Generator) -> bool:
    """Whether a shipped generator gives, of bytes, what the trained one gives of floats."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3), dtype=np.uint8))
    with torch.no_grad():
        logits = generator(pixels.permute(0, 3, 1, 2) / 127.5 - 1)["segmentation"]
        maps = Deployed(generator).eval()(pixels)
    expected = torch.cat([logits[:, :1].sigmoid(), logits[:, 1:].clamp(0, 1)], 1)
    # beyond the image lies grey in the one and the middle of the range in the other
    maps, expected = (one[..., 64:-64, 64:-64] for one in (maps, expected))
    assert expected.std() > 0.01
    return torch.allclose(maps, expected, atol=1e-4)


def test_maps_have_four_pixels_for_each_cell_of_the_last_level(small):
    with torch.no_grad():
        assert small()(torch.zeros(1, 3, 128, 192))["segmentation"].shape == (1, 2, 128, 192)


def test_the_export_reads_bytes_and_gives_the_generators_maps(small):
    assert same_maps(small())


def test_an_encoder_whose_first_layer_fits_no_cells_is_exported_too(small):
    assert same_maps(small(encoder="test_resnet", depths=[], smooth=False))


def test_a_smooth_stride_is_the_stride_behind_a_box(small):
    layer = next(module for module in small().modules() if isinstance(module, SmoothConv2d))
    x = torch.randn(1, layer.in_channels, 16, 16)
    box = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, stride=1)
    expected = F.conv2d(F.pad(box, (0, 1, 0, 1)), layer.weight, None, 2, 0, 1, layer.groups)
    with torch.no_grad():
        assert torch.allclose(layer(x)[..., 1:-1, 1:-1], expected[..., 1:7, 1:7], atol=1e-5)


def test_it_begins_from_the_encoder_of_a_larger_network(small):
    large, fresh = small(depths=[], decoder="unet", fine=8), small()
    fresh.begin_from(large.state_dict())
    for key in ("encoder.blocks.4.0.conv_pw.weight", "transformer.blocks.0.qkv.weight"):
        assert torch.equal(fresh.state_dict()[key], large.state_dict()[key])


def test_it_begins_from_its_own_kind_with_every_weight(small):
    first, second = small(), small(transformer_heads=2)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    second.begin_from(first.state_dict())
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key


@pytest.mark.parametrize("depths", [[1, 2], [9, 1, 1, 1, 1, 1, 1]])
def test_depths_that_an_encoder_does_not_have_are_refused(depths):
    with pytest.raises(UsageError, match="depths"):
        create_encoder("tf_efficientnet_lite0", "none", depths=depths)


def test_an_encoder_without_such_strides_cannot_be_smooth():
    with pytest.raises(UsageError, match="smooth"):
        create_encoder("test_resnet", "none", smooth=True)
