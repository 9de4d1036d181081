"""One tester for every generator, then what is special to each part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemalum_training.config.config import Schedule
from hemalum_training.improve.plan import step_seconds
from hemalum_training.networks import Generator, PatchDiscriminator
from hemalum_training.networks.attention_gate import AttentionGate
from hemalum_training.scoring.predict import at_mpp_of, labels_of, predict

FAMILY = {
    "attcycle": {"transformer_depth": 0, "gates": True, "segmentation_channels": 1, "output_scale": 1},
    "attcycle with distances": {"transformer_depth": 0, "gates": True},
    "transcycle": {"gates": False},
    "transcycle with gates": {"gates": True},
    "efficientnet-lite": {"encoder": "tf_efficientnet_lite0"},
    "finer pixels": {"fold": 2, "normalization": False},
}
INVARIANCE = 2e-2      # of a logit, 64 px inside a tile's border (DESIGN, Networks that ship)


def build(narrow, name: str) -> Generator:
    torch.manual_seed(0)
    generator = Generator(narrow(**FAMILY[name]), imagenet=False)
    # what starts at zero (residual head, transformer, last BatchNorm of a block) would hide a fault
    for module in generator.modules():
        if getattr(module, "weight", None) is not None and not module.weight.abs().sum():
            torch.nn.init.normal_(module.weight, 0.02, 0.02)
    return generator


def outputs(generator: Generator, x: torch.Tensor, offset=(0, 0)) -> dict[str, torch.Tensor]:
    """Of every decoder that there is."""
    return generator(x, offset, normalized=generator.normalization is not None)


def image(side: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("name", FAMILY)
class TestGenerator:
    def test_shapes(self, narrow, name):
        generator = build(narrow, name).eval()
        x, side = image(2 * generator.config.stride), 64 * generator.config.output_scale
        out = outputs(generator, x)
        assert out["segmentation"].shape == (1, generator.config.segmentation_channels, side, side)
        if generator.normalization is None:
            with pytest.raises(ValueError, match="without a normalization decoder"):
                generator(x, normalized=True)
            return
        assert out["normalized"].shape == (1, 3, 64, 64) and out["normalized"].abs().max() <= 1
        assert set(generator(x, segmentation=False, normalized=True)) == {"normalized"}

    def test_every_decoder_and_the_encoder_get_gradients(self, narrow, name):
        generator = build(narrow, name).train()
        side = 2 * generator.config.stride
        out = outputs(generator, torch.cat([image(side), image(side, 1)]))
        sum(v.square().mean() for v in out.values()).backward()
        silent = [k for k, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        # a bias before BatchNorm or softmax has none by construction
        assert not [k for k in silent if k.endswith("weight")], silent

    def test_save_and_load(self, narrow, name, tmp_path):
        generator = build(narrow, name).eval()
        torch.save(generator.state_dict(), tmp_path / "weights.pt")
        again = Generator(generator.config, imagenet=False).eval()
        again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        with torch.no_grad():
            first, second = (outputs(g, image(64)) for g in (generator, again))
        assert all(torch.equal(first[k], second[k]) for k in first)

    def test_the_exported_graph_equals_torch(self, narrow, name, tmp_path):
        ort = pytest.importorskip("onnxruntime")
        generator = build(narrow, name).eval()

        class Every(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.generator = generator

            def forward(self, x):
                return tuple(outputs(self.generator, x).values())

        path, x = tmp_path / "every.onnx", image(64)
        module = Every().eval()
        torch.onnx.export(module, (x,), str(path), opset_version=18, dynamo=False, input_names=["x"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        with torch.no_grad():
            expected = module(x)
        for found, wanted in zip(session.run(None, {"x": x.numpy()}), expected, strict=True):
            assert np.abs(found - wanted.numpy()).max() < 1e-4

    def test_a_padded_tile_has_the_same_interior(self, narrow, name):
        generator = build(narrow, name).eval()
        fold, cells = generator.config.fold, 2  # the tile begins two cells of 32 px at 0.5 µm/px inside the image
        big, corner = image(384 * fold), 32 * cells * fold
        with torch.no_grad():
            whole = outputs(generator, big)
            part = outputs(generator, big[..., corner:-corner, corner:-corner], (cells, cells))
        for key, found in part.items():
            border = 64 * found.shape[-1] // 256  # 64 of the tile's 256 px at 0.5 µm/px, as are the 64 around it
            a, b = (
                whole[key][..., 2 * border : -2 * border, 2 * border : -2 * border],
                found[..., border:-border, border:-border],
            )
            assert a.shape == b.shape
            assert (a - b).abs().max() < INVARIANCE * max(1.0, float(a.abs().max())), (key, float((a - b).abs().max()))


def test_a_network_for_finer_pixels_begins_with_the_maps_of_their_box_mean(narrow):
    coarse = build(narrow, "transcycle with gates").eval()
    fine = Generator(narrow(fold=2, normalization=False), imagenet=False).eval()
    fine.begin_from(coarse.state_dict())
    x = image(128)
    with torch.no_grad():
        expected = coarse(torch.nn.functional.avg_pool2d(x, 2))["segmentation"]
        assert torch.allclose(fine(x)["segmentation"], expected, atol=1e-4)
    assert expected.abs().max() > 0.1


@pytest.mark.parametrize("fold", [1, 2])
def test_an_image_is_read_at_the_generators_own_resolution_and_its_maps_are_those_of_the_labels(narrow, drawn, fold):
    generator, tile = Generator(narrow(fold=fold, normalization=False), imagenet=False).eval(), drawn(3)
    pixels = at_mpp_of(generator, tile.pixels)
    assert pixels.shape[0] == tile.labels.shape[0] * fold // 2
    found = predict(generator, pixels)
    assert found.foreground.shape == found.distance.shape == tile.labels.shape == labels_of(generator, tile).shape


@pytest.mark.parametrize("fold", [1, 2])
def test_a_training_step_can_be_measured_beforehand(narrow, fold):
    assert step_seconds(narrow(fold=fold, normalization=False), Schedule(batch=2, crop=64)) > 0


def test_no_shipped_network_has_a_statistic_over_the_tile(narrow):
    for name in FAMILY:
        kinds = {type(m).__name__ for m in build(narrow, name).modules()}
        assert not {
            k for k in kinds if "Instance" in k or "GroupNorm" in k or "SqueezeExcite" in k or "AdaptiveAvg" in k
        }, name


def test_attention_gate_follows_the_equations():
    torch.manual_seed(1)
    gate = AttentionGate(6, 10, 4)
    x, g = torch.randn(2, 6, 5, 7), torch.randn(2, 10, 5, 7)
    wx, wg, psi = gate.w_x.weight[:, :, 0, 0], gate.w_g.weight[:, :, 0, 0], gate.psi.weight[0, :, 0, 0]
    assert gate.w_x.bias is None
    out = gate(x, g)
    for n, i, j in [(0, 0, 0), (1, 4, 6), (0, 2, 3)]:
        q = psi @ torch.clamp(wx @ x[n, :, i, j] + wg @ g[n, :, i, j] + gate.w_g.bias, min=0) + gate.psi.bias
        alpha = 1 / (1 + torch.exp(-q))
        assert torch.allclose(out[n, :, i, j], x[n, :, i, j] * alpha, atol=1e-6)


@pytest.mark.parametrize("normalization", ["none", "instance", "spectral"])
def test_discriminator_shape_and_gradient(normalization):
    discriminator = PatchDiscriminator(4, normalization)
    x = image(96).requires_grad_()
    out = discriminator(x)
    assert out.shape == (1, 1, 10, 10)
    out.square().mean().backward()
    assert x.grad.abs().sum() > 0


def test_one_logit_sees_seventy_by_seventy_pixels():
    x = image(128).requires_grad_()
    PatchDiscriminator(4, "none")(x)[0, 0, 7, 7].backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert int(seen.any(1).sum()) == int(seen.any(0).sum()) == 70


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="instance, spectral, none"):
        PatchDiscriminator(4, "batch")
