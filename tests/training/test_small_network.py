"""The network made for 8 bits: its shape, its export and what keeps it steady."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `training` is not installed")

import onnx
import torch

from hemalum.errors import UsageError
from hemalum_training import export
from hemalum_training.augment import sample_shifted
from hemalum_training.dirt import soiled
from hemalum_training.losses import segmentation_loss, shift_loss
from hemalum_training.networks import Generator, GeneratorConfig
from hemalum_training.networks.encoders import SmoothConv2d, create_encoder

SMALL = {"encoder": "tf_efficientnet_lite0", "depths": [1, 1, 1, 1, 1, 1, 0], "smooth": True, "decoder": "pyramid", "fold": 2,
         "bottleneck": 16, "transformer_depth": 1, "widths": [16, 16, 16, 16]}


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(**SMALL), imagenet=False).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return generator


def tile(side=256, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantized(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    export.export_onnx(small, folder / "full.onnx", core=128)
    export.prepare(folder / "full.onnx", folder / "prepared.onnx")
    export.quantize(folder / "prepared.onnx", folder / "int8.onnx", [tile(seed=seed) for seed in range(2)])
    return folder


def test_maps_have_four_pixels_for_each_cell_of_the_last_level(small):
    with torch.no_grad():
        assert small(torch.zeros(1, 3, 128, 192))["segmentation"].shape == (1, 2, 128, 192)


def test_the_export_reads_bytes_and_gives_the_generators_maps(small):
    pixels = torch.from_numpy(tile()[None])
    with torch.no_grad():
        logits = small(pixels.permute(0, 3, 1, 2) / 127.5 - 1)["segmentation"]
        found = export.Deployed(small).eval()(pixels)
    expected = torch.cat([logits[:, :1].sigmoid(), logits[:, 1:].clamp(0, 1)], 1)
    inner = (..., slice(64, -64), slice(64, -64))     # beyond the image lies grey in the one and the middle of the range in the other
    assert torch.allclose(found[inner], expected[inner], atol=1e-4) and expected[inner].std() > 0.01


def test_the_graphs_agree(small, quantized):
    ort = pytest.importorskip("onnxruntime")
    pixels = tile(384, 5)
    full, int8 = (ort.InferenceSession(str(quantized / name), providers=["CPUExecutionProvider"]).run(None, {"pixels": pixels[None]})[0]
                  for name in ("prepared.onnx", "int8.onnx"))
    with torch.no_grad():
        expected = export.Deployed(small).eval()(torch.from_numpy(pixels[None])).numpy()
    assert np.abs(full - expected).max() < 1e-4
    assert np.abs(int8 - expected).mean() < 0.05


def test_the_program_takes_any_batch_and_size(small, tmp_path):
    export.export_program(small, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    pixels = torch.from_numpy(np.stack([tile(640, seed)[:576] for seed in range(3)]))
    with torch.no_grad():
        found, expected = program(pixels), export.Deployed(small).eval()(pixels)
    assert found.shape == (3, 2, 576, 640) and (found - expected).abs().mean() < 0.01


def test_no_pair_of_products_can_saturate(quantized):
    """Without VNNI two products of an unsigned and a signed byte are summed in 16 bits."""
    graph = onnx.load(quantized / "int8.onnx").graph
    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    large = max(int(np.abs(w.astype(np.int32)).max()) for w in weights if w.ndim == 4)
    assert 32 < large <= 64 and 2 * 255 * large < 2**15


def test_a_smooth_stride_is_the_stride_behind_a_box(small):
    layer = next(module for module in small.modules() if isinstance(module, SmoothConv2d))
    x = torch.randn(1, layer.in_channels, 16, 16)
    box = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1)), 2, stride=1)
    expected = torch.nn.functional.conv2d(torch.nn.functional.pad(box, (0, 1, 0, 1)), layer.weight, None, 2, 0, 1, layer.groups)
    with torch.no_grad():
        assert torch.allclose(layer(x)[..., 1:-1, 1:-1], expected[..., 1:7, 1:7], atol=1e-5)


def test_it_begins_from_the_encoder_of_a_larger_network():
    large = Generator(GeneratorConfig(**SMALL | {"depths": [], "decoder": "unet", "fine": 8}), imagenet=False)
    fresh = Generator(GeneratorConfig(**SMALL), imagenet=False)
    fresh.begin_from(large.state_dict())
    for key in ("encoder.blocks.4.0.conv_pw.weight", "transformer.blocks.0.qkv.weight"):
        assert torch.equal(fresh.state_dict()[key], large.state_dict()[key])


@pytest.mark.parametrize("depths", [[1, 2], [9, 1, 1, 1, 1, 1, 1]])
def test_depths_that_an_encoder_does_not_have_are_refused(depths):
    with pytest.raises(UsageError, match="depths"):
        create_encoder("tf_efficientnet_lite0", imagenet=False, depths=depths)


def test_an_encoder_without_such_strides_cannot_be_smooth():
    with pytest.raises(UsageError, match="smooth"):
        create_encoder("test_resnet", imagenet=False, smooth=True)


def test_pairs_of_crops_show_the_same_tissue(drawn):
    pixels, targets, places = sample_shifted([drawn(3)], np.ones(1), 64, 4, np.random.default_rng(2), fold=2)
    assert pixels.shape == (4, 128, 128, 3) and targets.shape == (4, 4, 128, 128)
    assert float(shift_loss(torch.from_numpy(targets), places)) == 0
    assert float(shift_loss(torch.from_numpy(targets), places[::-1])) > 0


def test_where_a_label_may_be_several_nuclei_its_distance_is_not_learned():
    logits, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, 4)
    targets[:, 1], targets[:, 3, :2] = 0.5, 0
    changed = targets.clone()
    changed[:, 1, :2] = 0.9
    assert segmentation_loss(logits, targets) == segmentation_loss(logits, changed)
    changed[:, 0, :2] = 0
    assert segmentation_loss(logits, targets) != segmentation_loss(logits, changed)


def test_dirt_covers_what_it_darkens():
    pixels, covered = soiled(np.full((96, 96, 3), 220, np.uint8), np.random.default_rng(4))
    assert covered.any() and pixels[covered].mean() < 150
