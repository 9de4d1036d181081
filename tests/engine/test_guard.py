"""The check at load: int8 is used only where it finds the nuclei of the stored tile, not where its maps look alike."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from hemalum.engine import open_engine
from hemalum.engine.base import agreement, stored_tile
from hemalum.engine.guard import NucleiAgreement, same_nuclei
from hemalum.errors import UsageError
from hemalum.models import find

onnx = pytest.importorskip("onnx")
cv2 = pytest.importorskip("cv2")


def graph(package, threshold: float) -> bytes:
    """The toy's graph with another weight."""
    model = onnx.load(package / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "threshold":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(threshold, np.float32), "threshold"))
    return model.SerializeToString()


@pytest.fixture
def package(toy_models, tmp_path):
    """A toy whose stored tile also has a row of pale nuclei, just below what counts as foreground."""
    folder = shutil.copytree(toy_models / "toy", tmp_path / "toy")
    with np.load(folder / "check.npz") as stored:
        pixels = stored["pixels"].copy()
    pixels[340:] = (228, 165, 205)
    for x in range(20, 370, 36):
        cv2.circle(pixels, (x, 362), 7, (142, 90, 150), -1)
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    maps = session.run(None, {"pixels": pixels[None]})[0][0]
    np.savez_compressed(folder / "check.npz", pixels=pixels, maps=maps.astype(np.float16))
    return folder


def opened(package, int8: bytes, precision: str = "auto"):
    (package / "model.int8.onnx").write_bytes(int8)
    card = json.loads((package / "card.json").read_text(encoding="utf-8"))
    names = "model.onnx", "check.npz", "model.int8.onnx"
    card["files"] = {name: hashlib.sha256((package / name).read_bytes()).hexdigest() for name in names}
    (package / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return open_engine(find(str(package)), "cpu", 1, precision)


def test_a_graph_that_finds_more_nuclei_in_maps_that_look_alike_is_not_used(package):
    assert opened(package, graph(package, 0.45)).precision == "int8"
    damaged = graph(package, 0.437)
    engine = opened(package, damaged)
    assert engine.precision == "fp32" and "fp32" in engine.device
    assert "finds other nuclei" in engine.notices[0] and "fp32 is used" in engine.notices[0]
    with pytest.raises(UsageError, match="choose precision fp32"):
        opened(package, damaged, "int8")

    import onnxruntime

    pixels, stored = stored_tile(find(str(package)))
    session = onnxruntime.InferenceSession(damaged, providers=["CPUExecutionProvider"])
    maps = session.run(None, {"pixels": pixels[None]})[0][0]
    assert agreement(maps, stored, 0.5).close and agreement(maps, stored, 0.5).dice > 0.97  # the maps alone pass
    found = same_nuclei(maps, stored, find(str(package)).card)
    assert found.found > 1.03 * found.stored


@pytest.mark.parametrize(
    ("found", "stored", "matched", "close"),
    [
        (152, 154, 150, True),  # int8 with exact sums, as measured
        (162, 154, 151, False),  # 5 % more
        (154, 154, 146, False),  # as many, but others
        (9, 8, 8, True),  # in so small a tile one nucleus says nothing
        (8, 8, 4, False),
        (0, 0, 0, True),
        (0, 100, 0, False),
    ],
)
def test_limits(found, stored, matched, close):
    assert NucleiAgreement(found, stored, matched).close == close


def test_the_bundled_int8_graph_is_used_only_where_it_finds_the_stored_nuclei():
    from hemalum.engine.onnx_engine import OnnxEngine

    model = find("nuclei")
    engine = OnnxEngine(model, 1)
    pixels, stored = stored_tile(model)
    assert same_nuclei(engine.maps(pixels[None])[0], stored, model.card).close
    assert (engine.precision == "int8") != bool(engine.notices)
