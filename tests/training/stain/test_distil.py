"""Generators into functions of colour.

What is distilled repeats its teacher, and what is trained goes on where it was stopped.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hemalum.errors import RunLost, UsageError
from hemalum.stain.estimation import REFERENCE
from hemalum.stain.learned import ColourFunction
from hemalum.stain.table import apply_table, colour_table
from hemalum_training.config.config import load_config
from hemalum_training.config.method import Cycle
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.config.normalizer import ColourFit
from hemalum_training.stain import normalizer, scanner_pairs
from hemalum_training.stain.colour_pairs import at_places, by_transport, goal_of_density, pairs_of
from hemalum_training.stain.distil import error_of, fit_function
from hemalum_training.stain.transport import transported

from ..conftest import NARROW, drawn_tile

FIT = ColourFit(hidden=16, views=1, pixels=800, steps=500, batch=2048)
CYCLE = Cycle(
    epochs=1, steps_per_epoch=4, batch=1, crop=64, discriminator_width=4, discriminator_normalization="none", pool=4
)
NETWORK = GeneratorConfig(**{**NARROW, "transformer_depth": 0})


def quiet(*_):
    pass


def many_stains(count: int) -> list[tuple[str, list[np.ndarray]]]:
    """Sources of two tiles, each in colours of its own, with glass at a rim."""
    rng, sources = np.random.default_rng(5), []
    for number in range(count):
        eosin, haematoxylin = (np.array(c) + rng.integers(-22, 23, 3) for c in ((222, 150, 200), (110, 70, 150)))
        tiles = [drawn_tile(10 * number + i, 128, 12, tuple(eosin), tuple(haematoxylin))[0] for i in range(2)]
        for tile in tiles:
            tile[:24] = np.clip(np.random.default_rng(number).normal(243, 1, (24, 128, 3)), 0, 255)
        sources.append((f"s{number}", tiles))
    return sources


@pytest.fixture(scope="module")
def taught():
    """Pairs from a teacher that is known: each source through its own classical table; two thirds of them fitted."""
    sources = many_stains(24)

    def teacher(name, tiles, stain, places):
        table = colour_table(replace(stain, method="macenko"), REFERENCE)
        return at_places([apply_table(tile, table) for tile in tiles], places, stain.background)

    pairs = pairs_of(sources, teacher, FIT, 0.5, 0)
    names = sorted(set(pairs.sources))
    return pairs.of(set(names[::3])), pairs.of(set(names) - set(names[::3]))


def test_a_distilled_function_repeats_its_teacher_on_stains_it_has_not_seen(taught):
    apart, fitted = taught
    function = fit_function(fitted, REFERENCE, FIT, 0)
    alone = fit_function(fitted, REFERENCE, replace(FIT, conditioned=False), 0)
    assert len(fitted.stains) + len(apart.stains) >= 20
    assert error_of(function, apart) < 0.5 * error_of(None, apart)
    assert error_of(function, fitted) < error_of(alone, fitted), "knowing the image's stain must help"
    a, b = fitted.stains[0], fitted.stains[-1]
    assert (alone.density(fitted.density[:50], a) == alone.density(fitted.density[:50], b)).all()


def test_what_is_written_is_what_is_read(taught, tmp_path):
    function = fit_function(taught[1], REFERENCE, replace(FIT, steps=20), 0, {"sets": {"a": "CC0"}})
    function.write(tmp_path / "f.npz")
    again = ColourFunction.read(tmp_path / "f.npz")
    assert again.card == {"sets": {"a": "CC0"}} and again.target == REFERENCE
    stain = taught[0].stains[0]
    assert (colour_table(stain, REFERENCE, 17, again) == colour_table(stain, REFERENCE, 17, function)).mean() > 0.999
    (tmp_path / "g.npz").write_bytes(b"no")
    with pytest.raises(UsageError, match="hemalum train distil"):
        ColourFunction.read(tmp_path / "g.npz")


def test_transport_carries_one_cloud_of_colours_to_another():
    rng = np.random.default_rng(0)
    x, y = (
        rng.gamma(2, 0.1, (5000, 3)),
        rng.gamma(3, 0.2, (4000, 3)) @ np.array([[1, 0.3, 0], [0, 1, 0.2], [0.1, 0, 1]]),
    )
    moved = transported(x, y, 0)
    assert np.allclose(moved.mean(0), y.mean(0), atol=0.02) and np.allclose(np.cov(moved.T), np.cov(y.T), atol=0.01)
    assert (moved == transported(x, y, 0)).all()


def test_transport_compares_a_source_with_tiles_that_show_as_many_nuclei():
    tiles = [
        SimpleNamespace(set="a", source=f"{d}{i}", density=d / 10, domain=d_)
        for i in range(12)
        for d, d_ in ((1, "Y"), (9, "Y"), (8, "X"))
    ]
    shade = {1: 220, 9: 90, 8: 0}
    target = replace(REFERENCE, background=(255,) * 3)
    goal = goal_of_density(tiles, lambda t: np.full((4, 4, 3), shade[round(10 * t.density)], np.uint8), target, 100, 0)
    dark, pale = goal("a/80"), goal("a/10")
    assert dark.shape == pale.shape == (100, 3) and dark.min() > 0.4 and pale.max() < 0.1
    moved = by_transport(goal, 0)("a/80", [np.full((8, 8, 3), 100, np.uint8)], REFERENCE, np.arange(64)[None])
    assert np.allclose(moved, dark[0], atol=1e-6)


def domains():
    x = []
    for seed in range(3):
        for eosin in ((225, 170, 205), (235, 190, 160)):
            x.append(normalizer.Picture(drawn_tile(seed, 96, eosin=eosin)[0]))
    y = [normalizer.Picture(drawn_tile(seed, 96, eosin=(200, 120, 190))[0]) for seed in range(7, 10)]
    return x, y


def test_a_stopped_normalizer_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    x, y = domains()
    whole = normalizer.train_generator(NETWORK, CYCLE, x, y, out=tmp_path / "whole", seed=1, log=quiet)
    original, count = normalizer.ColourTrainer.step, []

    def killed(self, *arguments):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(normalizer.ColourTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        normalizer.train_generator(NETWORK, CYCLE, x, y, out=tmp_path / "stop", seed=1, save_seconds=0, log=quiet)
    monkeypatch.undo()
    again = normalizer.train_generator(NETWORK, CYCLE, x, y, out=tmp_path / "stop", seed=1, log=quiet)
    a, b = (torch.load(p, weights_only=True)["network"] for p in (whole, again))
    assert all(torch.allclose(a[k].float(), b[k].float(), atol=1e-6) for k in a)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert {"gan", "cycle", "identity", "discriminator"} <= set(lines[-1])
    assert Image.open(tmp_path / "whole" / "samples.png").size == (96 * 6, 96 * 2)


def test_bad_input_is_refused_with_what_to_do(tmp_path, monkeypatch):
    x, y = domains()
    with pytest.raises(UsageError, match="domain Y is empty"):
        normalizer.train_generator(NETWORK, CYCLE, x, [], out=tmp_path, seed=1, log=quiet)
    monkeypatch.setattr(normalizer.ColourTrainer, "step", lambda *_: {"total": float("nan")})
    with pytest.raises(RunLost, match="step 0"):
        normalizer.train_generator(NETWORK, CYCLE, x, y, out=tmp_path, seed=1, log=quiet)
    path = tmp_path / "c.toml"
    path.write_text('licences = ["CC0"]\n[normalizer.cycle]\ncrop = 64\n[unlabelled.a]\nlicence = "not stated"\n')
    with pytest.raises(UsageError, match="not stated"):
        load_config(path)
    path.write_text("[normalizer.colours]\n")
    with pytest.raises(UsageError, match="unknown table"):
        load_config(path)


def two_scanners(folder):
    """Drawn pairs of three slides: the second scanner sees more blue and less green."""
    rows = ["stem,slide,frame,valid_x0,valid_y0,valid_x1,valid_y1"]
    for name in ("aperio", "hamamatsu"):
        (folder / "pairs" / "images" / name).mkdir(parents=True)
    for slide in ("01", "02", "03"):
        for number in range(2):
            tile = drawn_tile(int(slide) * 10 + number, 128)[0]
            tile[:20] = 244
            other = np.clip(tile * np.array([0.95, 0.85, 1.0]), 0, 255).astype(np.uint8)
            for name, picture in (("aperio", tile), ("hamamatsu", other)):
                Image.fromarray(picture).save(folder / "pairs" / "images" / name / f"{slide}_{number}.png")
            rows.append(f"{slide}_{number},{slide},{number},2,2,126,120")
    (folder / "pairs" / "pairs.csv").write_text("\n".join(rows))


def test_scanner_pairs_end_to_end(tmp_path, toy_models, monkeypatch):
    monkeypatch.setenv("HEMALUM_MODELS", str(toy_models))
    monkeypatch.setattr(scanner_pairs, "TRANSPORTED", 5000)
    two_scanners(tmp_path)
    path = tmp_path / "experiment.toml"
    path.write_text("""
licences = []
[network]
encoder = "test_resnet"
transformer_depth = 0
bottleneck = 16
widths = [16, 12, 8, 8]
fine = 8
[normalizer.cycle]
steps_per_epoch = 2
batch = 1
crop = 64
discriminator_width = 4
discriminator_normalization = "none"
[normalizer.function]
conditioned = false
views = 1
steps = 300
batch = 1024
hidden = 8
[normalizer.pairs]
folder = "pairs"
folds = [["01"], ["02", "03"]]
apart = ["03"]
""")
    said = []
    written = scanner_pairs.compare_on_pairs(load_config(path), tmp_path, tmp_path / "out", "toy", said.append)
    scores = json.loads(written.read_text())
    assert set(scores["main"]) == set(scanner_pairs.ROWS) and scores["main"]["identity"]["ssim_to_source"][0] == 1
    assert scores["main"]["identity"]["nuclei_f1"][0] == 1
    assert scores["main"]["transport"]["psnr"][0] > scores["main"]["identity"]["psnr"][0] + 1, (
        "a change of scanner is found without pairs"
    )
    assert "slides apart" in said[-1] and "ms/Mpx" in said[-1]
    rows = (tmp_path / "out" / "pairs.csv").read_text().splitlines()
    assert len(rows) == 1 + 6 * len(scanner_pairs.ROWS)
    path.write_text(path.read_text().replace('["02", "03"]', '["02"]'))
    with pytest.raises(UsageError, match="once"):
        scanner_pairs.compare_on_pairs(load_config(path), tmp_path, tmp_path / "out", "toy", quiet)
