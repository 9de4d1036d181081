"""A package's graphs of the network made for 8 bits."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hemalum_training.networks.deployed import Deployed
from hemalum_training.package.export import export_onnx, export_program
from hemalum_training.package.quantize import prepare, quantize


def tile(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def generator(small):
    return small()


@pytest.fixture(scope="module")
def graphs(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    export_onnx(generator, folder / "full.onnx", core=128)
    prepare(folder / "full.onnx", folder / "prepared.onnx")
    quantize(folder / "prepared.onnx", folder / "int8.onnx", [tile(256, 256, seed) for seed in range(2)])
    return folder


def test_the_graphs_agree(generator, graphs):
    pixels = tile(384, 384, 5)[None]
    full, int8 = (
        onnxruntime.InferenceSession(str(graphs / name), providers=["CPUExecutionProvider"])
        for name in ("prepared.onnx", "int8.onnx")
    )
    with torch.no_grad():
        expected = Deployed(generator).eval()(torch.from_numpy(pixels)).numpy()
    assert np.abs(full.run(None, {"pixels": pixels})[0] - expected).max() < 1e-4
    assert np.abs(int8.run(None, {"pixels": pixels})[0] - expected).mean() < 0.05


def test_the_program_takes_any_batch_and_size(generator, tmp_path):
    export_program(generator, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    pixels = torch.from_numpy(np.stack([tile(576, 640, seed) for seed in range(3)]))
    with torch.no_grad():
        maps, expected = program(pixels), Deployed(generator).eval()(pixels)
    assert maps.shape == (3, 2, 576, 640) and (maps - expected).abs().mean() < 0.01


def test_no_pair_of_products_can_saturate(graphs):
    """Without VNNI two products of an unsigned and a signed byte are summed in 16 bits."""
    graph = onnx.load(graphs / "int8.onnx").graph
    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    large = max(int(np.abs(w.astype(np.int32)).max()) for w in weights if w.ndim == 4)
    assert 32 < large <= 64 and 2 * 255 * large < 2**15
