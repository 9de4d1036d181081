"""The CUDA engine's own logic, on the CPU: agreement with ONNX Runtime, and one halved batch when memory runs out."""

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


def test_maps_and_the_halved_batch(package, monkeypatch):
    from hemalum.engine.torch_engine import TorchEngine
    from hemalum.models import find

    engine = TorchEngine(find(str(package)), device="cpu")
    tiles = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = Toy()(torch.from_numpy(tiles)).numpy()
    assert np.abs(engine.maps(tiles) - expected).max() < 1e-5

    engine.batch, forward = 4, engine._forward

    def little_memory(part):
        if len(part) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return forward(part)

    monkeypatch.setattr(engine, "_forward", little_memory)
    assert np.abs(engine.maps(tiles) - expected).max() < 1e-5 and engine.batch == 2 and "2 tiles" in engine.notices[0]
    monkeypatch.setattr(engine, "_forward", lambda part: (_ for _ in ()).throw(torch.OutOfMemoryError("out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        engine.maps(tiles)


def test_no_cuda_is_a_sentence(package):
    from hemalum.engine import open_engine
    from hemalum.engine.torch_engine import cuda_problem
    from hemalum.errors import UsageError
    from hemalum.models import find

    if cuda_problem() is None:
        pytest.skip("CUDA works here")
    with pytest.raises(UsageError, match="CUDA"):
        open_engine(find(str(package)), "cuda")
