"""S1 from real CC0 images: a slide and single images to tiles with domain, part and density."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `training` is not installed")

import hemalum
from hemalum.errors import UsageError
from hemalum_training.config.config import load_config
from hemalum_training.data import cutting
from hemalum_training.data.regions import regions, tile_grid
from hemalum_training.data.tile_store import load_domains, load_labelled_rows, load_tiles, tile_pixels
from hemalum_training.data.tiles import make_tiles

DATA = Path(__file__).parents[2] / "data"
SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
CONFIG = """
[tiles]
tile = 128
region_min = 300
region_max = 1500
regions = 1
clusters = 2
validation = 0.3
[sets.nucls_sample]
licence = "CC0"
validation = ["nucls_train_1"]
[unlabelled.slides]
licence = "CC0"
[unlabelled.others]
licence = "CC0"
mpp = 0.5
group_column = "patient"
"""


def quiet(*_):
    pass


@pytest.fixture
def data(tmp_path):
    """A folder of sets: labelled images, a slide, and six photographs of three patients (crops of the slide)."""
    shutil.copytree(DATA / "nucls_sample", tmp_path / "nucls_sample")
    (tmp_path / "slides").mkdir()
    shutil.copy(SLIDE, tmp_path / "slides")
    folder = tmp_path / "others"
    (folder / "images").mkdir(parents=True)
    from hemalum.grid.tiling import Rect
    from hemalum.slides import open_slide

    with open_slide(SLIDE) as slide, open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stem", "patient"])
        for i in range(6):
            writer.writerow([f"photo{i}", f"patient{i // 2}"])
            pixels = slide.read(Rect(860 + 130 * (i % 2), 1870 + 140 * (i // 2), 130, 130))
            cv2.imwrite(str(folder / "images" / f"photo{i}.png"), pixels[..., ::-1])
    return tmp_path


def config(folder: Path, text: str = CONFIG):
    path = folder / "small.toml"
    path.write_text(text)
    return load_config(path)


def test_slides_and_images_become_tiles_split_by_patient(data, tmp_path):
    out = tmp_path / "out"
    make_tiles(config(data), data, out, log=quiet)
    tiles = load_tiles(out)
    assert {t.set for t in tiles} == {"slides", "others"} and len({t.tile for t in tiles}) == len(tiles)
    for tile in tiles:
        pixels = tile_pixels(out, tile.tile)
        assert pixels.shape == (128, 128, 3) and tile.licence == "CC0" and tile.tissue >= 0.3
    parts = {}
    for tile in tiles:
        parts.setdefault(tile.group, set()).add(tile.part)
    assert all(len(part) == 1 for part in parts.values()), "one patient, one part"
    assert sum(part == {"validation"} for group, part in parts.items() if group.startswith("patient")) == 1
    rows = load_labelled_rows(out)
    assert rows["nucls_sample/nucls_train_1"].part == "validation" and len(rows) == 8
    assert {row.domain for row in rows.values()} | {t.domain for t in tiles} == {"X", "Y"}
    assert all(row.weight > 0 for row in rows.values()), "no hand label is lost for its density"
    assert load_domains(out).rule in json.loads((out / "tiles" / "domains.json").read_text())["rule"]
    assert all((out / "tiles" / f"{name}.png").stat().st_size > 10_000 for name in {t.domain for t in tiles})
    # a tile shows what the slide shows there
    tile = next(t for t in tiles if t.set == "slides")
    from hemalum.grid.tiling import Rect
    from hemalum.slides import open_slide

    with open_slide(SLIDE) as slide:
        near = slide.read(Rect(round(tile.x * 0.5 / slide.mpp), round(tile.y * 0.5 / slide.mpp), 128, 128))
    assert np.abs(near.astype(int) - tile_pixels(out, tile.tile)).mean() < 12


def test_a_run_killed_half_way_gives_the_same_manifest_and_does_no_work_twice(data, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    make_tiles(config(data), data, whole, log=quiet)
    opened = []

    def open_three(path, *arguments):
        opened.append(path.name)
        if len(opened) == 4:
            raise KeyboardInterrupt
        return original(path, *arguments)

    original = cutting.open_slide
    monkeypatch.setattr(cutting, "open_slide", open_three)
    with pytest.raises(KeyboardInterrupt):
        make_tiles(config(data), data, stopped, log=quiet)
    assert not (stopped / "tiles" / "manifest.csv").exists()
    make_tiles(config(data), data, stopped, log=quiet)
    assert len(opened) == 4 + 4, "seven sources: three were done, the fourth is begun again"
    for name in ("manifest.csv", "labelled.csv", "domains.json"):
        assert (stopped / "tiles" / name).read_bytes() == (whole / "tiles" / name).read_bytes()


def test_a_licence_that_is_not_allowed_never_enters(data):
    with pytest.raises(UsageError, match="licence"):
        config(data, CONFIG + '[unlabelled.more]\nlicence = "research only"\n')


def test_an_image_kept_for_validation_is_found_among_the_tiles_whatever_its_scale(data, tmp_path):
    pixels = cv2.imread(str(DATA / "nucls_sample" / "images" / "nucls_train_1.png"))
    half = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(data / "others" / "images" / "photo3.png"), half)
    with pytest.raises(UsageError, match="photo3 is the same image as nucls_sample/nucls_train_1"):
        make_tiles(config(data), data, tmp_path / "out", log=quiet)
    text = CONFIG.replace('group_column = "patient"', 'group_column = "patient"\nexclude = ["photo3"]')
    make_tiles(config(data, text), data, tmp_path / "out", log=quiet)
    assert "photo3" not in {t.source for t in load_tiles(tmp_path / "out")}


def test_an_export_gives_its_unlabelled_tissue_by_patient_and_patients_stay_in_their_part(data, tmp_path):
    folder = data / "export"
    for part in ("images", "labels", "unlabelled"):
        (folder / part).mkdir(parents=True)
    for i, name in enumerate(("0000_slide_0", "0001_other_0"), 4):
        shutil.copy(data / "others" / "images" / f"photo{i}.png", folder / "images" / f"{name}.png")
        cv2.imwrite(str(folder / "labels" / f"{name}.png"), np.zeros((130, 130), np.uint16))
    (folder / "manifest.csv").write_text("stem,patient\n0000_slide_0,anna\n0001_other_0,bert\n")
    (folder / "report.json").write_text('{"mpp": 0.5}')
    for i, name in enumerate(("0000_slide_0_512", "0000_slide_512_0", "0001_other_0_0")):
        shutil.copy(data / "others" / "images" / f"photo{i}.png", folder / "unlabelled" / f"{name}.png")
    text = CONFIG.replace("validation = 0.3", 'reference = "photo0"') + """
exclude = ["photo5"]
[sets.export]
licence = "CC0"
mpp = 0.5
patient_column = "patient"
validation = ["bert"]
[unlabelled.export]
licence = "CC0"
"""
    make_tiles(config(data, text), data, tmp_path / "out", log=quiet)
    assert sorted((t.group, t.part) for t in load_tiles(tmp_path / "out") if t.set == "export") == [
        ("anna", "train"), ("anna", "train"), ("bert", "validation")]


@pytest.mark.parametrize("change, words", [
    (("[unlabelled.slides]", "[unlabelled.missing]"), "there is no folder"),
    (("group_column", 'exclude = ["*"]\ngroup_column'), "correct the patterns"),
    (('"patient"', '"person"'), "no column person"),
    (("clusters = 2", 'clusters = 2\nreference = "nobody"'), "no image, slide or patient"),
    (("tissue", "tissue"), ""),
])
def test_mistakes_are_named(data, tmp_path, change, words):
    if not words:
        text, words = CONFIG.split("[unlabelled")[0], "no unlabelled set"
    else:
        text = CONFIG.replace(*change)
    with pytest.raises(UsageError, match=words):
        make_tiles(config(data, text), data, tmp_path / "out", log=quiet)


def test_regions_hold_the_tissue_and_tiles_lie_inside_on_one_grid():
    mask = np.zeros((300, 500), bool)
    mask[50:100, 60:200] = mask[200:290, 300:480] = True
    size = (50_000, 30_000)
    found = regions(mask, size, 2000, 8000, 100)
    assert all(2000 <= side <= 8000 for region in found for side in region[2:])
    covered = np.zeros_like(mask)
    for x, y, width, height in found:
        covered[y // 100:-(-(y + height) // 100), x // 100:-(-(x + width) // 100)] = True
    assert covered[mask].mean() > 0.99
    places = tile_grid(found, size, 256)
    assert len(set(places)) == len(places)
    assert len({x % 256 for x, _ in places}) == len({y % 256 for _, y in places}) == 1
    for left, top in places:
        assert any(x <= left and y <= top and left + 256 <= x + w and top + 256 <= y + h for x, y, w, h in found)
