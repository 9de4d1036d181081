"""The page of a training run: made of the run's own files, complete, and in need of no other file."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hemalum.errors import UsageError
from hemalum_training.config.config import load_config
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.networks import Generator
from hemalum_training.report.page import write_report

from ..conftest import NARROW

DATA = Path(__file__).parents[2] / "data"
CONFIG = 'licences = ["CC0"]\n[sets.nucls_sample]\nlicence = "CC0"\nvalidation = ["nucls_train_1", "nucls_train_3"]\n'


def quiet(*_):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_models):
    """A run's folder: logs, pseudo labels of real tiles, a network, a package and scores."""
    out = tmp_path_factory.mktemp("run")
    (out / "small.toml").write_text(CONFIG)
    (out / "teacher").mkdir()
    lines = [{"step": 25 * i, "gan": 1 / i, "cycle": 0.3 / i} for i in range(1, 9)]
    lines.insert(4, {"step": 100, "epoch": 1, "validation": {"aji": 0.4, "pq": 0.3}, "best": True})
    (out / "teacher" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for part in ("images", "labels"):
        (out / "pseudo" / part).mkdir(parents=True)
    rows = []
    for number, (stem, reason) in enumerate(
        (("nucls_train_1", ""), ("nucls_train_3", "score <= 0.6"), ("nucls_train_5", "score <= 0.6"))
    ):
        pixels = Image.open(DATA / "nucls_sample" / "images" / f"{stem}.png").convert("RGB")
        pixels.resize((pixels.width // 2, pixels.height // 2)).save(out / "pseudo" / "images" / f"{stem}.png")
        shutil.copy(DATA / "nucls_sample" / "labels" / f"{stem}.png", out / "pseudo" / "labels")
        rows.append(
            {"tile": stem, "kept": "no" if reason else "yes", "reason": reason, "score": f"{0.7 - number / 10:.2f}"}
        )
    with open(out / "pseudo" / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    shutil.copytree(toy_models / "toy", out / "package")
    generator = Generator(GeneratorConfig(**NARROW), imagenet=False)
    torch.save(
        {"config": {"network": generator.config.as_dict()}, "network": generator.state_dict()}, out / "weights.pt"
    )
    (out / "scores.csv").write_text(
        "precision,image,aji,pq\nfp32,nucls_sample/nucls_train_3,0.7,0.6\nfp32,nucls_sample/nucls_train_1,0.31,0.2\n"
    )
    (out / "table.json").write_text(
        json.dumps({"teacher": {"images": ["a", "b"], "AJI": [0.9, 0.125], "SSIM": [0.5, 0.6]}})
    )
    (out / "small.json").write_text(
        json.dumps(
            {
                "means": {"student": {"AJI": 0.5, "to Y": None}, "student without turns": {"AJI": 0.45, "to Y": 0.2}},
                "differences": {
                    "student − student without turns: AJI": {
                        "mean": 0.05,
                        "low": -0.01,
                        "high": 0.11,
                        "seeds": [0.04, 0.06],
                    }
                },
            }
        )
    )
    return load_config(out / "small.toml"), out


@pytest.fixture(scope="module")
def page(run):
    return write_report(run[0], DATA, run[1], log=quiet).read_text(encoding="utf-8")


def test_the_page_needs_no_other_file(page):
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) and "url(http" not in page
    assert page.count("<svg") == 2 and "validation" in page, "losses and validation of the teacher"


def test_tags_are_closed(page):
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img", "html", "path", "use", "rect"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("html", "path", "use", "rect"):
                assert open_tags.pop() == tag, tag

    Checker().feed(page)
    assert not open_tags


def test_pseudo_labels_come_with_their_reasons(page):
    assert "score &lt;= 0.6: 2 tiles" in page and "kept: 1 tiles" in page
    assert "nucls_train_5 · score 0.50" in page


def test_scores_are_worst_first(page):
    assert 0 < page.index("<th>nucls_sample/nucls_train_1</th>") < page.index("<th>nucls_sample/nucls_train_3</th>")
    assert page.index("<th>b</th><td>0.1250") < page.index("<th>a</th><td>0.9000")
    assert page.count("<img") >= 2 + 3 + 2, "samples, pseudo tiles, the worst images with outlines"


def test_arms_of_an_experiment_stand_beside_what_each_part_brought(page):
    assert "<th>student</th><td>0.5000</td><td>–</td>" in page
    cells = "<td>0.0500</td><td>-0.0100</td><td>0.1100</td><td>+0.0400 +0.0600</td>"
    assert f"student − student without turns: AJI</th>{cells}" in page


def test_a_run_is_shown_as_far_as_it_is(run, tmp_path):
    config, out = run
    with pytest.raises(UsageError, match="hemalum train all"):
        write_report(config, DATA, tmp_path, log=quiet)
    shutil.copytree(out / "teacher", tmp_path / "teacher")
    page = write_report(config, DATA, tmp_path, log=quiet).read_text(encoding="utf-8")
    assert "<svg" in page and "Scores" not in page
    again = write_report(config, DATA, tmp_path, log=quiet).read_text(encoding="utf-8")
    assert page == again and np.all([line == "" or ord(line[0]) < 0x2600 for line in page.splitlines()])
