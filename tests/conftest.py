"""A toy model package with real convolutions, and pictures it works on, so that tests need no trained weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest


def write_toy_model(folder: Path, name: str = "toy", **changes) -> Path:
    """Dark purple → nucleus: two convolutions over colour and neighbourhood, maps at twice the input's resolution.

    float32 maps; foreground = sigmoid(gain · (blurred darkness − threshold)), distance = clipped wider blur.  Its
    generator gives the negative.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def gauss(sigma: float, radius: int) -> np.ndarray:
        axis = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
        kernel = np.outer(axis, axis)
        return (kernel / kernel.sum()).astype(np.float32)[None, None]

    constants = {
        "darkness": np.array([-1.0, 0, 0], np.float32).reshape(1, 3, 1, 1) / 255,  # red falls where haematoxylin is
        "one": np.array([1.0], np.float32),
        "narrow": gauss(1.0, 2), "wide": gauss(3.0, 8),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "threshold": np.array(0.45, np.float32), "gain": np.array(25, np.float32),
        "low": np.array(0.25, np.float32), "stretch": np.array(2.2, np.float32),
        "zero": np.array(0, np.float32), "unit": np.array(1, np.float32),
    }  # fmt: skip

    def resize(source, target):
        options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return helper.make_node("Resize", [source, "", "scales"], [target], **options)

    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "darkness", "one"], ["dark"]),
        helper.make_node("Conv", ["dark", "narrow"], ["near"], pads=[2] * 4),
        helper.make_node("Conv", ["dark", "wide"], ["far"], pads=[8] * 4),
        resize("near", "near2"), resize("far", "far2"),
        helper.make_node("Sub", ["near2", "threshold"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["foreground"]),
        helper.make_node("Sub", ["far2", "low"], ["far3"]),
        helper.make_node("Mul", ["far3", "stretch"], ["far4"]),
        helper.make_node("Clip", ["far4", "zero", "unit"], ["distance"]),
        helper.make_node("Concat", ["foreground", "distance"], ["maps"], axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "toy",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "H", "W", 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 2, "sH", "sW"])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )  # fmt: skip
    folder = folder / name
    folder.mkdir(parents=True)
    ends = [helper.make_tensor_value_info(end, TensorProto.UINT8, [1, "H", "W", 3]) for end in ("pixels", "normalized")]
    inverted = helper.make_node("BitwiseNot", ["pixels"], ["normalized"])
    negative = helper.make_graph([inverted], "negative", ends[:1], ends[1:])
    for file, contents in (("model.onnx", graph), ("generator.onnx", negative)):
        opset = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(contents, opset_imports=opset, ir_version=9), folder / file)

    import onnxruntime

    pixels = picture(384, 384, seed=9)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    maps = session.run(None, {"pixels": pixels[None]})[0][0]
    np.savez_compressed(folder / "check.npz", pixels=pixels, maps=maps.astype(np.float16))
    files = ("model.onnx", "generator.onnx", "check.npz")
    card = {
        "id": name, "version": "1", "mpp": 0.5, "output_scale": 2, "halo": 64, "largest_nucleus_um": 30.0,
        "input": {"name": "pixels", "layout": "NHWC", "dtype": "uint8", "multiple_of": 32},
        "outputs": {"name": "maps", "channels": ["foreground", "distance"]},
        "thresholds": {"foreground": 0.5, "marker": 0.35, "sigma": 1.0, "min_area_um2": 5.0},
        "licence": {"weights": "CC0-1.0", "why": "written by hand"},
        "files": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}, **changes,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def picture(height: int, width: int, seed: int = 1, pitch: int = 22) -> np.ndarray:
    """Pink tissue with dark purple ellipses of about 8 µm at 0.5 µm/px, some of them touching; uint8 h×w×3."""
    import cv2

    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (228, 165, 205), np.uint8)
    for y in range(pitch // 2, height, pitch):
        for x in range(pitch // 2, width, pitch):
            centre = int(x + rng.integers(-5, 6)), int(y + rng.integers(-5, 6))
            axes = int(rng.integers(5, 9)), int(rng.integers(5, 9))
            colour = tuple(int(v) for v in (rng.integers(70, 100), rng.integers(50, 80), rng.integers(120, 150)))
            if rng.random() < 0.85:
                cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, colour, -1)
    noise = rng.integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory) -> Path:
    """A folder with the model `toy`."""
    folder = tmp_path_factory.mktemp("models")
    write_toy_model(folder)
    return folder


@pytest.fixture(scope="session")
def toy_model(toy_models):
    from hemalum.models import find

    return find("toy", [toy_models])


@pytest.fixture(scope="session")
def toy_slide(tmp_path_factory) -> Path:
    """A PNG of 700 × 660 px without a resolution: several tiles of core 256 at 0.5 µm/px."""
    from PIL import Image

    path = tmp_path_factory.mktemp("slides") / "tissue.png"
    Image.fromarray(picture(660, 700)).save(path)
    return path
