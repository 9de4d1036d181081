"""The CUDA engine's own logic, on the CPU: agreement with ONNX Runtime, and smaller batches where memory runs out."""

import hashlib
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")


class Toy(torch.nn.Module):
    """Some maps at twice the resolution, from a convolution over colour."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.linspace(-0.3, 0.5, parameter.numel()).reshape(parameter.shape))

    def forward(self, pixels):
        y = self.convolution(pixels.permute(0, 3, 1, 2).float() / 255)
        return torch.sigmoid(torch.nn.functional.pixel_shuffle(y, 2))


@pytest.fixture(scope="module")
def package(toy_models, tmp_path_factory):
    folder = shutil.copytree(toy_models / "toy", tmp_path_factory.mktemp("torch") / "toy")
    module = Toy().eval()
    batch, side = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("side", min=2, max=64)
    pixels = torch.zeros(2, 384, 384, 3, dtype=torch.uint8)
    shapes = {"pixels": {0: batch, 1: 32 * side, 2: 32 * side}}
    torch.export.save(torch.export.export(module, (pixels,), dynamic_shapes=shapes), folder / "model.pt2")
    with np.load(folder / "check.npz") as stored:
        pixels = stored["pixels"]
    with torch.inference_mode():
        maps = module(torch.from_numpy(pixels)[None])[0].numpy()
    np.savez_compressed(folder / "check.npz", pixels=pixels, maps=maps.astype(np.float16))
    card = json.loads((folder / "card.json").read_text())
    files = "model.onnx", "check.npz", "model.pt2"
    card["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_maps_and_smaller_batches_where_memory_runs_out(package, monkeypatch):
    from hemalum.engine.torch_engine import TorchEngine
    from hemalum.models import find

    engine = TorchEngine(find(str(package)), device="cpu")
    tiles = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = Toy()(torch.from_numpy(tiles)).numpy()
    assert np.abs(engine.maps(tiles) - expected).max() < 1e-5

    engine.batch, forward = 8, engine._forward
    sizes = []

    def little_memory(part):
        """For four tiles of 64²."""
        sizes.append(len(part))
        if part[..., 0].size > 4 * 64 * 64:
            raise torch.OutOfMemoryError("out of memory")
        return forward(part)

    monkeypatch.setattr(engine, "_forward", little_memory)
    assert np.abs(engine.maps(tiles) - expected).max() < 1e-5 and "64×64 px have 2" in engine.notices[0]
    large = np.zeros((3, 128, 128, 3), np.uint8)
    assert engine.maps(large).shape[0] == 3 and "128×128 px have 1" in engine.notices[1]
    sizes.clear()
    engine.maps(tiles)
    assert sizes == [2, 2, 1]  # what a run with larger tiles met has cost this size nothing
    with pytest.raises(MemoryError, match="too small for a tile of 256×256 px"):
        engine.maps(np.zeros((1, 256, 256, 3), np.uint8))
    assert engine.batch == 8


@pytest.fixture
def shipped(tmp_path):
    """The bundled model with a corner of its stored tile, so that its half-precision program is fast enough on a
    CPU."""
    from hemalum.engine.base import stored_tile
    from hemalum.engine.onnx_engine import OnnxEngine
    from hemalum.models import find

    model = find("nuclei")
    folder = shutil.copytree(model.folder, tmp_path / "nuclei")
    pixels = stored_tile(model)[0][:256, :256]
    maps = OnnxEngine(model, 1, "fp32").maps(pixels[None])[0]
    np.savez_compressed(folder / "check.npz", pixels=pixels, maps=maps.astype(np.float16))
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["files"]["check.npz"] = hashlib.sha256((folder / "check.npz").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return find(str(folder))


def test_the_shipped_program_computes_the_stored_maps(shipped):
    from hemalum.engine.base import agreement, stored_tile
    from hemalum.engine.torch_engine import TorchEngine
    from hemalum.models import find

    engine = TorchEngine(shipped, device="cpu")  # which refuses other maps than the stored ones
    halves = {tensor.dtype for tensor in engine._program.state_dict().values() if tensor.is_floating_point()}
    assert halves == {torch.float16} and engine.precision == "fp16"
    pixels, maps = stored_tile(find("nuclei"))
    corner = engine.maps(pixels[None, :256, :256])[0][:, :96, :96]  # far from where the corner was cut off
    same = agreement(corner, maps[:, :96, :96], shipped.card.thresholds["foreground"])
    assert same.mean < 0.002 and same.dice > 0.99


@pytest.mark.slow
def test_the_shipped_program_computes_the_whole_stored_tile():
    from hemalum.engine.torch_engine import TorchEngine
    from hemalum.models import find

    assert TorchEngine(find("nuclei"), device="cpu").precision == "fp16"


def test_no_apple_gpu_is_a_sentence(package):
    import sys

    from hemalum.engine import open_engine
    from hemalum.errors import UsageError
    from hemalum.models import find

    if sys.platform == "darwin":
        pytest.skip("there may be one")
    with pytest.raises(UsageError, match=r"MPS cannot be used \(only macOS has Apple's GPUs"):
        open_engine(find(str(package)), "mps")


def test_no_cuda_is_a_sentence(package):
    from hemalum.engine import open_engine
    from hemalum.engine.torch_engine import cuda_problem
    from hemalum.errors import UsageError
    from hemalum.models import find

    if cuda_problem() is None:
        pytest.skip("CUDA works here")
    with pytest.raises(UsageError, match="CUDA"):
        open_engine(find(str(package)), "cuda")
