"""A step of the cycle training: what reaches which network; and the course of a training: resumed, refused, stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hemalum.errors import RunLost, UsageError
from hemalum_training.config.config import load_config
from hemalum_training.config.data import Pseudo
from hemalum_training.config.method import Cycle
from hemalum_training.data.pseudo_store import PseudoTile, StoredTile
from hemalum_training.loops.cycle_run import CycleRun
from hemalum_training.loops.cycle_step import CycleTrainer, decayed
from hemalum_training.loops.losses import fit_targets
from hemalum_training.loops.pools import Pools
from hemalum_training.networks import Generator

from ..conftest import NARROW

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SMALL = Cycle(epochs=2, steps_per_epoch=4, batch=2, crop=64, discriminator_width=4, pool=2, learning_rate=1e-3, ema=0.5)


BLUE = {"eosin": (230, 200, 235), "haematoxylin": (60, 50, 150)}


@pytest.fixture(scope="module")
def pools(tmp_path_factory, drawn):
    """Two labelled tiles a domain, one unlabelled X tile, one pseudo tile whose normalized image is its negative."""
    folder = tmp_path_factory.mktemp("tiles")
    tile = drawn(7)
    small = cv2.resize(tile.pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    foreground, distance = (255 * (tile.labels > 0)).astype(np.uint8), (255 * tile.distance).astype(np.uint8)
    for name, content in (
        ("own", small[..., ::-1]),
        ("normalized", 255 - small[..., ::-1]),
        ("labels", tile.labels.astype(np.uint16)),
        ("foreground", foreground),
        ("distance", distance),
    ):
        cv2.imwrite(str(folder / f"{name}.png"), content)
    pictures = (folder / f"{name}.png" for name in ("own", "normalized", "labels", "foreground", "distance"))
    pseudo = StoredTile.of(PseudoTile("pseudo/7", *pictures, score=1.0), Pseudo())
    return Pools(
        [drawn(0), drawn(1)],
        [drawn(2, **BLUE), drawn(3, **BLUE)],
        [StoredTile("unlabelled/7", folder / "own.png")],
        [pseudo],
    )


@pytest.fixture
def trainer(narrow):
    return lambda **changes: CycleTrainer(narrow(), replace(SMALL, **changes), seed=0)


def only_pseudo(pools: Pools, cycle: Cycle):
    """A batch whose labels are all pseudo labels: unlabelled X, pseudo Y."""
    return pools.batch(replace(cycle, pseudo_share=1.0), np.random.default_rng(0))


def weights_of(module) -> torch.Tensor:
    """A copy of all its weights, one after the other."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def gradient(module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("added, crops", [(False, 4), (True, 6)])
def test_pseudo_tiles_take_the_place_of_labelled_ones_or_come_beside_them(pools, added, crops):
    cycle = replace(SMALL, batch=4, pseudo_share=0.5, pseudo_added=added)
    assert len(pools.labelled(cycle, np.random.default_rng(0)).x) == crops
    assert len(replace(pools, pseudo=[]).labelled(cycle, np.random.default_rng(0)).x) == 4


class TestStep:
    @pytest.mark.parametrize("own, cycle", [(True, False), (False, True)])
    def test_a_pseudo_label_reaches_the_segmentation_decoder_that_is_used(self, pools, trainer, own, cycle):
        t = trainer(pseudo_own=own, pseudo_cycle=cycle)
        batch = only_pseudo(pools, t.cycle)
        assert not batch.x_labelled.any() and batch.y_pseudo.all()
        t.total(t.generator_terms(batch)[0]).backward()
        assert gradient(t.g_xy.segmentation) > 0

    def test_without_either_it_would_not(self, pools, trainer):
        t = trainer(pseudo_own=False, pseudo_cycle=False)
        t.total(t.generator_terms(only_pseudo(pools, t.cycle))[0]).backward()
        assert (
            gradient(t.g_xy.segmentation) == 0
            and gradient(t.g_yx.segmentation) > 0
            and gradient(t.g_xy.normalization) > 0
        )

    def test_own_and_normalized_image_of_a_pseudo_tile_have_one_geometry(self, pools):
        batch = pools.batch(replace(SMALL, pseudo_share=1.0, stain_jitter=0.0), np.random.default_rng(5))
        assert torch.allclose(batch.own, -batch.y, atol=0.03), "the normalized image of this tile is its negative"
        dark = batch.own.mean(1) < batch.own.mean()
        inside = torch.nn.functional.avg_pool2d(batch.y_targets[:, :1], 2)[:, 0] > 0.5
        assert (dark == inside).float().mean() > 0.85

    def test_batchnorm_remembers_real_tiles_only(self, pools, trainer):
        t = trainer(cycle_segmentation=True)
        twin = CycleTrainer(t.g_xy.config, t.cycle, seed=0)
        batch = pools.batch(t.cycle, np.random.default_rng(1))
        t.generator_terms(batch)
        twin.g_xy(batch.x)
        twin.g_xy(batch.own)
        twin.g_yx(batch.y)
        for one, other in ((t.g_xy.encoder, twin.g_xy.encoder), (t.g_yx.encoder, twin.g_yx.encoder)):
            assert all(
                torch.allclose(a, b, atol=1e-5)
                for a, b in zip(one.buffers(), other.buffers(), strict=True)
                if a.is_floating_point()
            )

    def test_the_generators_loss_leaves_the_discriminators_alone_and_the_other_way_round(self, pools, trainer):
        t = trainer()
        batch = pools.batch(t.cycle, np.random.default_rng(1))
        terms, fakes = t.generator_terms(batch)
        t.total(terms).backward()
        assert gradient(t.d_x) == gradient(t.d_y) == 0 and gradient(t.g_yx.normalization) > 0
        t.opt_g.zero_grad()
        t._discriminators(batch, *fakes, np.random.default_rng(0))
        assert gradient(t.g_xy) == gradient(t.g_yx) == 0 and gradient(t.d_x) > 0 and gradient(t.d_y) > 0

    def test_recomputed_activations_change_neither_gradients_nor_statistics(self, pools, trainer):
        batch, found = pools.batch(SMALL, np.random.default_rng(2)), []
        for recompute in (False, True):
            t = trainer(gradient_checkpointing=recompute)
            t.total(t.generator_terms(batch)[0]).backward()
            found.append(
                [p.grad for p in t.generators if p.grad is not None]
                + [b for b in t.g_xy.buffers() if b.is_floating_point()]
            )
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))

    def test_between_cycle_steps_only_the_generator_that_is_used_learns_and_its_normalization_rests(
        self, pools, trainer
    ):
        t = trainer(cycle_every=3)
        parts = {"seg": t.g_xy.segmentation, "norm": t.g_xy.normalization, "back": t.g_yx, "d": t.d_y}
        before = {}
        for name, module in parts.items():
            before[name] = weights_of(module)
        rng = np.random.default_rng(0)
        t.step(1, 8, pools.labelled(t.cycle, rng), None, rng)
        changed = set()
        for name, module in parts.items():
            if not torch.equal(before[name], weights_of(module)):
                changed.add(name)
        assert changed == {"seg"}

    def test_the_patents_single_channel_decoder_trains_at_the_tiles_own_resolution(self, pools, narrow):
        t = CycleTrainer(
            narrow(transformer_depth=0, segmentation_channels=1, output_scale=1),
            replace(SMALL, dice=0.0, distance=0.0),
            0,
        )
        rng = np.random.default_rng(0)
        first = t.step(0, 8, None, pools.batch(t.cycle, rng), rng)
        assert np.isfinite(first["total"])
        assert {"gan", "cycle", "identity", "segmentation_y", "discriminator"} <= set(first)

    def test_half_precision_gives_nearly_the_same_losses(self, pools, trainer):
        batch, found = pools.batch(SMALL, np.random.default_rng(2)), []
        for amp in ("none", "bf16"):
            found.append(
                trainer(amp=amp, gradient_checkpointing=True).step(0, 8, None, batch, np.random.default_rng(0))
            )
        assert found[0].keys() == found[1].keys()
        assert found[1]["total"] == pytest.approx(found[0]["total"], rel=0.05)
        assert found[0]["total"] != found[1]["total"]

    def test_the_rate_falls_linearly_to_nothing(self):
        assert [decayed(s, 10, 0.5) for s in (0, 5, 6, 9)] == pytest.approx([1, 1, 0.8, 0.2])


CONFIG = """
[sets.drawn]
licence = "CC0"
[method.cycle]
"""


@pytest.fixture
def run(tmp_path, narrow, pools, drawn):
    """Make a training in a folder: `run(folder, cycle fields…, init=…)`."""
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    config = load_config(path)

    def make(folder="run", log=lambda *_: None, init=None, validation=(90,), **changes):
        own = replace(config, method=replace(config.method, cycle=replace(SMALL, **changes)))
        return CycleRun(narrow(), own, pools, [drawn(s) for s in validation], tmp_path / folder, init=init, log=log)

    return make


class TestRun:
    def test_killed_and_resumed_equals_uninterrupted(self, run, monkeypatch, tmp_path):
        whole = torch.load(run("whole", cycle_every=2).train(), weights_only=True)

        class KilledError(Exception):
            pass

        stopped, original, drawn = run("stopped", cycle_every=2), Pools.labelled, []

        def killed_at_six(self, *arguments):
            drawn.append(stopped.step)
            if len(drawn) > 6:
                raise KilledError
            return original(self, *arguments)

        monkeypatch.setattr(Pools, "labelled", killed_at_six)
        with pytest.raises(KilledError):
            stopped.train(save_seconds=0)
        monkeypatch.undo()
        said = []
        resumed = torch.load(run("stopped", cycle_every=2, log=said.append).train(), weights_only=True)
        assert said[0] == "resumed at step 6"
        assert whole["best"] == resumed["best"]
        assert all(torch.equal(whole["network"][k], resumed["network"][k]) for k in whole["network"]), (
            "equal to the bit on one machine"
        )
        steps = [json.loads(line) for line in (tmp_path / "stopped" / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in steps if "validation" in line] == [4, 8]

    def test_a_loss_that_is_not_a_number_stops_with_its_step_and_keeps_the_last_checkpoint(
        self, run, monkeypatch, tmp_path
    ):
        training, original = run(), CycleTrainer.step

        def broken(self, step, *rest):
            return original(self, step, *rest) | ({"cycle": float("nan"), "total": float("nan")} if step == 5 else {})

        monkeypatch.setattr(CycleTrainer, "step", broken)
        with pytest.raises(RunLost, match=r"\(cycle\) is not a number at step 5"):
            training.train()
        assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 4
        monkeypatch.undo()
        said = []
        run(learning_rate=1e-4, log=said.append).train()
        assert said[0] == "resumed at step 4" and "kept" in said[-1], "as the sentence advises"

    def test_a_number_that_is_none_is_seen_in_whichever_part_of_a_step(self, pools, trainer):
        t, rng = trainer(cycle_every=2), np.random.default_rng(0)
        labelled, batch = pools.labelled(t.cycle, rng), pools.batch(replace(t.cycle, pseudo_share=0.0), rng)
        batch.x_targets[0, 0, 0, 0] = float("nan")
        assert not np.isfinite(t.step(0, 8, labelled, batch, rng)["total"])

    def test_a_weight_is_not_touched_by_a_loss_that_is_not_a_number(self, pools, trainer):
        t, rng = trainer(), np.random.default_rng(0)
        batch = pools.batch(t.cycle, rng)
        batch.x[0, 0, 0, 0] = float("nan")
        before = [p.clone() for p in t.generators]
        assert not np.isfinite(t.step(0, 8, None, batch, rng)["total"])
        assert all(torch.equal(a, b) for a, b in zip(before, t.generators, strict=True))

    @pytest.mark.parametrize("broken", ["generator", "discriminator"])
    def test_nor_by_a_gradient_that_is_none(self, pools, trainer, broken, monkeypatch):
        t, rng = trainer(), np.random.default_rng(0)
        parameters = {"generator": t.generators, "discriminator": t.discriminators}[broken]
        parameters[0].register_hook(lambda g: g * float("nan"))
        if broken == "discriminator":
            monkeypatch.setattr(t, "discriminator_loss", lambda *_: parameters[0].sum() * float("nan"))
        before = [p.clone() for p in [*t.generators, *t.discriminators]]
        assert not np.isfinite(t.step(0, 8, None, pools.batch(t.cycle, rng), rng)["total"])
        assert all(torch.equal(a, b) for a, b in zip(before, [*t.generators, *t.discriminators], strict=True))

    def test_a_torn_line_of_the_log_does_not_keep_a_training_from_going_on(self, run, tmp_path):
        run(epochs=1).train()
        with open(tmp_path / "run" / "log.jsonl", "a") as file:
            file.write('{"step": 4, "vali')
        run(epochs=1).train()
        assert [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == [4]

    def test_labels_by_another_teacher_or_taken_otherwise_are_refused_by_their_key(self, run, pools, monkeypatch):
        run(epochs=1, steps_per_epoch=1).train()
        monkeypatch.setattr(pools, "labelled_by", "another")
        with pytest.raises(UsageError, match="labels by = '', the configuration says 'another'"):
            run(epochs=1, steps_per_epoch=1)

    def test_tiles_on_disk_whose_pictures_have_changed_are_another_training(self, run, pools):
        run(epochs=1, steps_per_epoch=1).train()
        label = pools.pseudo[0].pseudo.labels
        before = label.read_bytes()
        try:
            cv2.imwrite(str(label), np.zeros((192, 192), np.uint16))
            with pytest.raises(UsageError, match="tiles' files"):
                run(epochs=1, steps_per_epoch=1)
            label.unlink()
            with pytest.raises(UsageError, match="labels.png is missing"):
                run(epochs=1, steps_per_epoch=1)
        finally:
            label.write_bytes(before)
        run(epochs=1, steps_per_epoch=1)

    def test_the_next_tiles_are_drawn_while_a_step_is_worked(self, run, monkeypatch):
        original, drawing, ahead = Pools.batch, threading.Event(), []

        def batch(self, *arguments):
            drawing.set()
            return original(self, *arguments)

        def step(self, number, *rest):
            ahead.append(drawing.wait(30))
            drawing.clear()
            return {"total": 1.0}

        monkeypatch.setattr(Pools, "batch", batch)
        training = run(epochs=1, steps_per_epoch=3)
        monkeypatch.setattr(CycleTrainer, "step", step)
        training.train()
        assert ahead[:2] == [True, True]

    def test_a_checkpoint_of_another_configuration_is_refused_by_its_key(self, run):
        run(epochs=1, steps_per_epoch=1).train()
        with pytest.raises(UsageError, match="lambda_cycle = 10.0, the configuration says 3.0"):
            run(epochs=1, steps_per_epoch=1, lambda_cycle=3.0)

    def test_a_training_that_cannot_beat_its_starting_model_says_so_and_keeps_it(self, run, narrow):
        torch.manual_seed(5)
        start = Generator(narrow(), imagenet=False).state_dict()
        said = []
        kept = torch.load(
            run(init=start, learning_rate=0.0, ema=0.0, epochs=1, steps_per_epoch=1, log=said.append).train(),
            weights_only=True,
        )
        assert "no epoch beat the starting model" in said[-1]
        assert all(torch.equal(kept["network"][k], start[k]) for k in start)

    def test_weights_without_normalization_may_be_begun_from_but_nothing_else_may_be_missing(self, narrow):
        with_segmentation = Generator(narrow(normalization=False), imagenet=False).state_dict()
        generator = Generator(narrow(), imagenet=False)
        generator.begin_from(with_segmentation)
        assert torch.equal(
            generator.state_dict()["segmentation.head.weight"], with_segmentation["segmentation.head.weight"]
        )
        del with_segmentation["segmentation.head.weight"]
        with pytest.raises(UsageError, match="lack segmentation.head.weight"):
            generator.begin_from(with_segmentation)
        with pytest.raises(UsageError, match="of shape"):
            generator.begin_from(Generator(narrow(fine=12), imagenet=False).state_dict())

    def test_an_image_in_training_and_validation_is_refused(self, run):
        with pytest.raises(UsageError, match="drawn/1 is both in training and in validation"):
            run(validation=(1,))

    def test_no_validation_image_is_refused(self, run):
        with pytest.raises(UsageError, match="no image for validation"):
            run(validation=())

    def test_an_empty_domain_is_refused(self, drawn):
        with pytest.raises(UsageError, match="domain Y has no labelled tile"):
            Pools([drawn(0)], [])


def test_a_step_of_the_patents_own_student(pools, narrow):
    """`source.toml`: no term beside GAN, cycle, identity and BCE, and a pseudo label reaches G_Y2X alone."""
    config = load_config(CONFIGS / "source.toml")
    assert config.network.segmentation_channels == 1 and config.part_um2 == 0
    assert (config.pseudo.rule, config.pseudo.soft, config.pseudo.sure) == ("mean_softmax", False, 0.0)
    cycle = replace(config.method.cycle, crop=64, discriminator_width=4, amp="none", batch=2)
    network = replace(config.network, **{k: v for k, v in NARROW.items() if k != "normalization"})
    trainer, rng = CycleTrainer(network, cycle, seed=0), np.random.default_rng(0)
    before = [parameter.clone() for parameter in trainer.generators]
    losses = trainer.step(0, 10, None, pools.batch(replace(cycle, pseudo_share=0.5), rng), rng)
    terms = set(losses) - {"total", "gradient", "discriminator"}
    assert terms == {"gan", "cycle", "identity", "segmentation_x", "segmentation_y"}
    assert np.isfinite(losses["total"])
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.generators, strict=True))

    batch = pools.batch(replace(cycle, pseudo_share=1.0), np.random.default_rng(1))
    logits = torch.randn(2, 1, 64, 64)
    wanted = F.binary_cross_entropy_with_logits(logits[:, 0], fit_targets(batch.y_targets, logits)[:, 0])
    assert torch.allclose(trainer._segmentation(logits, batch.y_targets), wanted)
    assert set(batch.y_targets[:, 0].unique().tolist()) <= {0.0, 1.0} and batch.y_targets[:, 2:].all()


def test_two_processes_average_their_gradients(tmp_path):
    script = tmp_path / "two.py"
    script.write_text("""
import torch
import torch.distributed as dist
from hemalum_training.loops.processes import Processes
processes = Processes.join("cpu")
a, b, c, d = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2,), (2,), (2,), (2, 3, 2, 2)))
a.grad = torch.full((2,), float(processes.rank + 1))
if processes.first:
    b.grad = torch.ones(2)
d.grad = (torch.arange(24.0).view(2, 3, 2, 2) * (processes.rank + 1)).contiguous(memory_format=torch.channels_last)
messages, send = [], dist.all_reduce
dist.all_reduce = lambda tensor, *options: (messages.append(tensor.numel()), send(tensor, *options))
processes.average([a, b, c, d])
dist.all_reduce = send
assert a.grad.tolist() == [1.5, 1.5] and b.grad.tolist() == [0.5, 0.5] and c.grad is None
assert torch.equal(d.grad, torch.arange(24.0).view(2, 3, 2, 2) * 1.5)
assert messages == [4, 28], messages
processes.average([c])
assert c.grad is None
assert processes.gather(processes.rank) == [0, 1]
""")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
