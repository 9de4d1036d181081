"""What an encoder begins from: a file of weights by the key of [network], and what is said of one that does not fit."""

from __future__ import annotations

import timm
import torch
from pytest import fixture, mark, raises
from safetensors.torch import save_file

from hemalum.errors import UsageError
from hemalum_training.config.method import Method
from hemalum_training.networks import Generator
from hemalum_training.networks.encoders import create_encoder


@fixture
def weights(tmp_path):
    """A classifier's weights, as timm has them: more than the encoder needs."""
    torch.manual_seed(3)
    state = timm.create_model("test_resnet", pretrained=False).state_dict()
    save_file(state, tmp_path / "whole.safetensors")
    torch.save({"state_dict": state}, tmp_path / "whole.pth")
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")
    return state


@mark.parametrize("name", ["whole.safetensors", "whole.pth", "old.pth"])
def test_both_kinds_of_file_fill_the_encoder(narrow, weights, tmp_path, name):
    config = narrow(encoder_weights=name).with_weights_in(tmp_path)
    filled = Generator(config).encoder.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in filled.items())


def test_folded_pixels_begin_from_them_too(weights, tmp_path):
    plain = create_encoder("test_resnet", tmp_path / "whole.pth").eval()
    folded = create_encoder("test_resnet", tmp_path / "whole.pth", fold=2).eval()
    pixels = torch.randn(1, 3, 64, 64)
    for one, other in zip(plain(pixels), folded(pixels.repeat_interleave(4, 1)), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@mark.parametrize("name, words", [
    ("absent.pth", "there are no encoder weights .*absent.pth"),
    ("other.pth", "are of another encoder: conv1.0.weight"),
    ("text.pth", "holds no weights that can be read"),
    ("text.safetensors", "holds no weights that can be read"),
])
def test_a_file_that_does_not_serve_is_named(narrow, weights, tmp_path, name, words):
    torch.save({"conv1.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for text in ("text.pth", "text.safetensors"):
        (tmp_path / text).write_text("no weights")
    with raises(UsageError, match=words):
        Generator(narrow(encoder_weights=name).with_weights_in(tmp_path))


def test_they_are_no_part_of_the_shape_and_the_teacher_begins_from_them_too(narrow):
    network = narrow(encoder_weights="own.pth")
    assert network.as_dict() == narrow().as_dict()
    assert Method.from_table({}, network).teacher.encoder_weights == "own.pth"
