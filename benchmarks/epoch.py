"""One real epoch of the patent's full-size networks on a CPU: does it learn, is its export right, what does it cost?

AttCycle (ResNet-50, attention gates, one channel) and TransCycle (ResNet-50, Transformer) as in training/configs, from
random weights. An epoch shows as much tissue as all labelled tiles of X hold, in crops of 128 px at 0.5 µm/px, which a
CPU can carry; what differs from the configuration beside crop and batch is printed.  Each network has a process of its
own, so that peak memory is its own, and goes on where it was stopped.  Prints one JSON line each.  Ends with 1 where
the trained network is not better than the untrained one on the validation images, or the export differs by more than
1e-4.

    python -m benchmarks.epoch --data DIR [--tiles N] [--out DIR] [attcycle|transcycle]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "training" / "configs"
LIMIT = 1e-4
SETS = ("tnbc", "nuinsseg")     # each image is one tile of 256 px at 0.5 µm/px
# a short training: a higher rate, and averages that forget the first steps
CHANGES = {
    "epochs": 1,
    "batch": 2,
    "crop": 128,
    "amp": "none",
    "gradient_checkpointing": False,
    "learning_rate": 1e-3,
    "ema": 0.9,
}


def one(name: str, data: Path, out: Path, tiles: int) -> bool:
    """Train, score and export one network; whether it holds what is asked."""
    import psutil
    import torch

    from hemalum_training.config.config import load_config
    from hemalum_training.data.labelled import load_labelled
    from hemalum_training.data.tiles import make_tiles
    from hemalum_training.loops.cycle_run import CycleRun
    from hemalum_training.loops.pools import Pools, load_pools
    from hemalum_training.networks import Generator
    from hemalum_training.networks.deployed import load_generator
    from hemalum_training.scoring.predict import score_images
    from hemalum_training.studies.arms import few

    config = load_config(CONFIGS / f"{name}.toml")
    config = replace(config, sets={key: config.sets[key] for key in SETS},
                     unlabelled={k: config.unlabelled[k] for k in list(config.unlabelled)[:1]})
    if not (out / "tiles" / "manifest.csv").is_file():
        make_tiles(config, data, out, print)
    whole = load_pools(config, data, out, pseudo=False)
    pools = Pools(few(whole.x, tiles), few(whole.y, tiles), density=whole.density)
    crops = sum(image.labels.size for image in pools.x) / (2 * CHANGES["crop"]) ** 2
    cycle = replace(config.method.cycle, **CHANGES, steps_per_epoch=max(1, round(crops / CHANGES["batch"])))
    config = replace(config, method=replace(config.method, cycle=cycle))
    network = (config.method.teacher if name == "attcycle" else config.network).with_weights_in(data)
    validation = load_labelled(config, data, "validation")
    torch.manual_seed(config.seed)
    untrained = mean([s.aji for s in score_images(Generator(network), validation)])
    run = CycleRun(network, config, pools, validation, out / name)
    began, first = time.monotonic(), run.step
    generator = load_generator(run.train())
    seconds = (time.monotonic() - began) / max(1, run.steps - first)
    trained = mean([s.aji for s in score_images(generator, validation)])
    worst = export_error(generator, out / f"{name}.onnx")
    memory = psutil.Process().memory_info()
    print(
        json.dumps(
            {
                "network": name,
                "parameters": sum(p.numel() for p in generator.parameters()),
                "tiles": [len(pools.x), len(pools.y)],
                "steps": run.steps,
                **CHANGES,
                "seconds_per_step": round(seconds, 2),
                "threads": torch.get_num_threads(),
                "peak_memory_GiB": round(getattr(memory, "peak_wset", 0) / 2**30 or peak_gib(), 2),
                "aji_untrained": round(untrained, 4),
                "aji_trained": round(trained, 4),
                "export_error": worst,
            }
        ),
        flush=True,
    )
    return trained > untrained and worst <= LIMIT


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def peak_gib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 / (1 if sys.platform == "linux" else 2**10)


def export_error(generator, path: Path) -> float:
    """Largest difference of both decoders' outputs between torch and ONNX Runtime, on random pixels."""
    import onnxruntime
    import torch

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = generator

        def forward(self, x):
            out = self.generator(x, normalized=True)
            return out["segmentation"].sigmoid(), out["normalized"]

    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    module = Both().eval()
    torch.onnx.export(
        module,
        (x,),
        str(path),
        opset_version=18,
        dynamo=False,
        input_names=["x"],
        output_names=["segmentation", "normalized"],
    )
    found = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})
    with torch.no_grad():
        expected = module(x)
    return max(float(abs(a - b.numpy()).max()) for a, b in zip(found, expected, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "network", nargs="?", choices=["attcycle", "transcycle"], help="one of them, in this process; both by default"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--tiles", type=int, default=0, help="labelled tiles of each domain at most; 0, the default: all"
    )
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hemalum-epoch")
    args = parser.parse_args()
    if args.network:
        return 0 if one(args.network, args.data, args.out, args.tiles) else 1
    command = [
        sys.executable,
        "-m",
        "benchmarks.epoch",
        "--data",
        str(args.data),
        "--tiles",
        str(args.tiles),
        "--out",
        str(args.out),
    ]
    return max(subprocess.run([*command, name]).returncode for name in ("attcycle", "transcycle"))


if __name__ == "__main__":
    sys.exit(main())
