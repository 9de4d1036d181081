"""A trained generator → a model package.

`model.onnx`, `model.int8.onnx`, `model.pt2`, `weights.safetensors`, `check.npz`, `card.json`, and `generator.onnx`
where a cycle training taught a normalization decoder.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from hemalum.models import GENERATOR, Card
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.networks import Generator
from hemalum_training.networks.deployed import HALO, LARGEST_NUCLEUS_UM, WINDOW, Deployed, Translating, load_generator
from hemalum_training.package.quantize import halve_weights, prepare, quantize


def export_onnx(generator: Generator, path: Path, core: int = WINDOW, translating: bool = False) -> None:
    """Write the fp32 graph with symbolic H and W (batch 1), traced at one core of `core` px at 0.5 µm/px.

    Its output is `maps`, or `normalized` tiles.
    """
    if translating:
        module, output, rows = Translating(generator), "normalized", 1
    else:
        module, output, rows = Deployed(generator), "maps", 2
    side = (core + 2 * HALO) * generator.config.fold
    pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    with torch.no_grad():
        torch.onnx.export(module.eval(), (pixels,), str(path), input_names=["pixels"], output_names=[output],
                          dynamic_axes={"pixels": {1: "H", 2: "W"}, output: {rows: "sH", rows + 1: "sW"}},
                          opset_version=18, dynamo=False, do_constant_folding=True)


def export_program(generator: Generator, path: Path) -> None:
    """Write `model.pt2` for the CUDA engine: half-precision weights and arithmetic.

    Any batch; H and W any multiples of the stride from two on.
    """
    batch = torch.export.Dim("batch", min=1, max=64)
    rows, columns = (torch.export.Dim(name, min=2, max=64) for name in "hw")
    module = Deployed(deepcopy(generator).half()).eval()
    stride = generator.config.stride
    # unequal sides: equal ones would be taken for one
    pixels = torch.zeros(2, 11 * stride, 13 * stride, 3, dtype=torch.uint8)
    shape = {"pixels": {0: batch, 1: stride * rows, 2: stride * columns}}
    with torch.no_grad():
        program = torch.export.export(module, (pixels,), dynamic_shapes=shape, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of the machine that exported it
    torch.export.save(program, path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(folder: Path, card: dict, network: GeneratorConfig) -> None:
    """Write `card.json` with the fields every package of ours shares and the sha256 of its files.

    It is checked as a reader would.
    """
    full = {"version": "1", "mpp": network.mpp, "output_scale": 2 // network.fold, "halo": HALO * network.fold,
            "largest_nucleus_um": LARGEST_NUCLEUS_UM,
            "input": {"name": "pixels", "layout": "NHWC", "dtype": "uint8", "multiple_of": network.stride},
            "outputs": {"name": "maps", "channels": ["foreground", "distance"]},
            "precision": {"model.onnx": "fp16", "model.int8.onnx": "int8", "model.pt2": "fp16"}, **card,
            "files": {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != "card.json"}}
    Card.from_dict(full)
    (folder / "card.json").write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def export_package(weights: Path, out: Path, card: dict, tiles: list[np.ndarray], check_tile: np.ndarray,
                   translates: bool = False) -> Path:
    """Write a whole model package into `out` and return it.

    Args:
        weights: `weights.pt` of a training run.
        card: the card's fields that are this model's own.
        tiles: calibration tiles, uint8 T×T×3 with T = 384 · fold.
        check_tile: uint8 T×T×3 stored with its maps, compared at every load.
        translates: the training taught the normalization decoder, too, so it is put in.
    """
    import onnxruntime as ort

    out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(weights)
    with tempfile.TemporaryDirectory() as folder:
        full, prepared = Path(folder) / "full.onnx", Path(folder) / "prepared.onnx"
        export_onnx(generator, full)
        prepare(full, prepared)
        halve_weights(prepared, out / "model.onnx")
        quantize(prepared, out / "model.int8.onnx", tiles)
        if translates:
            export_onnx(generator, full, translating=True)
            halve_weights(full, out / GENERATOR)
    export_program(generator, out / "model.pt2")
    save_file({k: v.half().contiguous() if v.is_floating_point() else v for k, v in generator.state_dict().items()},
              out / "weights.safetensors", metadata={"network": json.dumps(generator.config.as_dict())})
    session = ort.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    maps = session.run(None, {"pixels": check_tile[None]})[0][0]
    with torch.no_grad():
        expected = Deployed(generator)(torch.from_numpy(check_tile[None]))[0].numpy()
    worst = float(np.abs(maps - expected).max())
    if worst > 0.02:
        raise ValueError(f"the exported graph differs from torch by {worst:.4f}")
    np.savez_compressed(out / "check.npz", pixels=check_tile, maps=maps.astype(np.float16))
    write_card(out, card, generator.config)
    return out
