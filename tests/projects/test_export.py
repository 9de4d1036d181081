"""Training sets: labels lie where the polygons are, stated rules are counted, no pixel is in two parts."""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemalum.errors import UnknownResolution, UnsupportedImage, UsageError
from hemalum.projects.export import export
from hemalum.projects.sources import AnnotatedSlide, read_list


def square(x, y, side, kind="detection", name=None, hole=False, **more):
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    rings = [ring, [[x + 2, y + 2], [x + 2, y + 4], [x + 4, y + 4], [x + 2, y + 2]]] if hole else [ring]
    properties = {"objectType": kind, **({"classification": {"name": name}} if name else {}), **more}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}, "properties": properties}


def write(path, features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import conftest

    folder = tmp_path_factory.mktemp("export")
    for i in range(4):
        Image.fromarray(conftest.picture(1300, 1400, seed=20 + i)).save(folder / f"s{i}.png")
    return folder


def test_labels_and_rules(tmp_path, slides):
    crossed = {"type": "Polygon", "coordinates": [[[300, 300], [320, 320], [320, 300], [300, 320], [300, 300]]]}
    features = [
        square(100, 100, 300, "annotation", "Complete"),
        square(350, 100, 100, "annotation", "Complete"),
        square(120, 120, 20, name="Tumor"),
        square(130, 120, 12),
        square(200, 200, 20, hole=True, isLocked=True),
        square(390, 350, 20),
        square(150, 150, 2),
        square(600, 600, 20),
        square(10, 10, 500, "annotation"),
        square(210, 300, 20, "annotation", "Ignore*"),
        square(0, 0, 0, "annotation", "Complete"),
        {"geometry": crossed, "properties": {"objectType": "detection"}},
    ]
    report = export(
        [AnnotatedSlide(slides / "s0.png", write(tmp_path / "a.geojson", features), mpp=0.5)],
        tmp_path / "set",
        mpp=0.5,
        unlabelled=2,
    )
    assert report["images"] == 1 and report["classes"] == {"Nucleus": 4, "Tumor": 1}
    said = report["counts"]
    assert (
        said["holes, filled"] == said["locked objects, taken"] == said["outlines that crossed themselves, mended"] == 1
    )
    assert said["nuclei outside Complete regions, left out"] == 1 and said["annotations without a class, left out"] == 1
    assert (
        said["complete regions of zero area, left out"] == 1
        and said["nuclei or cut parts of fewer than 8 px, dropped"] == 1
    )
    assert said["nuclei that share pixels, given to the smaller"] == 1 and said["unlabelled tiles"] == 2
    row = next(csv.DictReader((tmp_path / "set" / "manifest.csv").open(encoding="utf-8")))
    labels = np.asarray(Image.open(tmp_path / "set" / "labels" / f"{row['stem']}.png"))
    image = np.asarray(Image.open(tmp_path / "set" / "images" / f"{row['stem']}.png"))
    assert labels.shape == image.shape[:2] == (300, 350) and labels.dtype == np.uint16
    original = np.asarray(Image.open(slides / "s0.png"))[100:400, 100:450]
    assert (
        (image[:, :300] == original[:, :300]).all()
        and (image[100:, 300:] == 255).all()
        and not labels[100:, 300:].any()
    )
    assert (
        (labels[20:40, 20:30] == labels[25, 25]).all()
        and (labels[20:32, 30:42] == labels[25, 35]).all()
        and labels[25, 25] != labels[25, 35]
    )
    assert (labels[100:120, 100:120] > 0).all() and (labels[250:270, 290:300] > 0).all()


def test_labels_keep_their_place_at_another_resolution(tmp_path, slides):
    features = [square(201, 203, 403, "annotation", "Complete"), square(301, 303, 60)]
    export(
        [AnnotatedSlide(slides / "s1.png", write(tmp_path / "a.geojson", features), mpp=0.3)], tmp_path / "set", mpp=0.5
    )
    labels = np.asarray(Image.open(next((tmp_path / "set" / "labels").iterdir())))
    ys, xs = np.nonzero(labels)
    assert (
        abs(xs.mean() + 0.5 + np.floor(201 * 0.6) - 331 * 0.6) < 0.5
        and abs(len(xs) - 36**2) < 80
        and abs(ys.mean() - xs.mean()) < 1
    )


def test_no_pixel_of_validation_is_in_training(tmp_path, slides):
    sources = []
    for i in range(4):
        path = write(tmp_path / f"{i}.geojson", [square(50, 50, 300, "annotation", "Complete"), square(100, 100, 15)])
        sources.append(AnnotatedSlide(slides / f"s{i}.png", path, patient="p1" if i < 2 else "", mpp=0.5))
    report = export(sources, tmp_path / "set", 0.5, 0.3)
    rows = list(csv.DictReader((tmp_path / "set" / "manifest.csv").open(encoding="utf-8")))
    parts = {}
    for row in rows:
        content = np.asarray(Image.open(tmp_path / "set" / "images" / f"{row['stem']}.png"))
        blocks = {
            hashlib.sha256(content[y : y + 50, x : x + 50].tobytes()).hexdigest()
            for y in range(0, 300, 50)
            for x in range(0, 300, 50)
        }
        parts.setdefault(row["part"], set()).update(blocks)
    assert set(parts) == {"train", "validation"} and not parts["train"] & parts["validation"]
    assert len({row["part"] for row in rows if row["patient"] == "p1"}) == 1
    held = {row["slide"].removesuffix(".png") for row in rows if row["part"] == "validation"}
    assert not any(name.name.split("_")[1] in held for name in (tmp_path / "set" / "unlabelled").iterdir())
    assert report["validation"] == sorted({row["patient"] for row in rows if row["part"] == "validation"})


def test_a_copy_of_a_slide_under_another_patient_is_refused(tmp_path, slides):
    path = write(tmp_path / "a.geojson", [square(50, 50, 300, "annotation", "Complete")])
    (tmp_path / "copy.png").write_bytes((slides / "s0.png").read_bytes())
    sources = [
        AnnotatedSlide(slides / "s0.png", path, "p1", 0.5),
        AnnotatedSlide(tmp_path / "copy.png", path, "p2", 0.5),
    ]
    with pytest.raises(UsageError, match="same pixels"):
        export(sources, tmp_path / "set")
    assert not (tmp_path / "set").exists() and not list(tmp_path.glob(".export-*"))


def test_bad_input(tmp_path, slides):
    plain = write(tmp_path / "a.geojson", [square(50, 50, 15)])
    with pytest.raises(UsageError, match="class Complete"):
        export([AnnotatedSlide(slides / "s0.png", plain, mpp=0.5)], tmp_path / "set")
    with pytest.raises(UsageError, match="exists"):
        export([], tmp_path)
    whole = write(tmp_path / "c.geojson", [square(50, 50, 300, "annotation", "Complete")])
    with pytest.raises(UnknownResolution, match="column mpp"):
        export([AnnotatedSlide(slides / "s0.png", whole)], tmp_path / "set")
    assert not (tmp_path / "set").exists()
    (tmp_path / "b.geojson").write_text("{}")
    with pytest.raises(UsageError, match="not GeoJSON"):
        export([AnnotatedSlide(slides / "s0.png", tmp_path / "b.geojson", mpp=0.5)], tmp_path / "set")
    (tmp_path / "list.csv").write_text("file\na.png\n")
    with pytest.raises(UsageError, match="columns image"):
        read_list(tmp_path / "list.csv")


def test_the_list(tmp_path):
    (tmp_path / "list.csv").write_text(
        "image,annotations,patient,mpp\na.svs,a.geojson,p1,0.25\nb.svs,b.geojson,,\n", encoding="utf-8"
    )
    first, second = read_list(tmp_path / "list.csv")
    assert (
        first == AnnotatedSlide(tmp_path / "a.svs", tmp_path / "a.geojson", "p1", 0.25)
        and second.mpp is None
        and second.patient == ""
    )


def test_what_the_extension_exports_is_a_list(tmp_path, slides):
    """images.csv as *Export training regions* in QuPath writes it, with the size that QuPath sees."""
    write(tmp_path / "P1_a-1.geojson", [square(50, 50, 300, "annotation", "Complete"), square(100, 100, 15)])
    head = "image,annotations,patient,mpp,name,width,height\n"
    row = f"{slides / 's0.png'},P1_a-1.geojson,,0.5,P1_a,1400,1300\n"
    (tmp_path / "images.csv").write_text(head + row, encoding="utf-8")
    sources = read_list(tmp_path / "images.csv", "^(P[0-9])")
    assert sources == [AnnotatedSlide(slides / "s0.png", tmp_path / "P1_a-1.geojson", "P1", 0.5, size=(1400, 1300))]
    assert export(sources, tmp_path / "set", 0.5)["nuclei"] == 1
    (tmp_path / "images.csv").write_text(head + row.replace("1400,1300", "1300,1400"), encoding="utf-8")
    with pytest.raises(UnsupportedImage, match="1400×1300 px, but 1300×1400 px in QuPath"):
        export(read_list(tmp_path / "images.csv"), tmp_path / "turned", 0.5)
    (tmp_path / "images.csv").write_text(head + row.replace(f"{slides / 's0.png'}", "omero://1"), encoding="utf-8")
    with pytest.raises(UsageError, match="is not a file"):
        read_list(tmp_path / "images.csv")


def exported(tmp_path, slides, features, **more):
    source = AnnotatedSlide(slides / "s0.png", write(tmp_path / "a.geojson", features), mpp=0.5)
    report = export([source], tmp_path / "set", mpp=0.5, unlabelled=0, **more)
    pictures = {}
    for kind in ("labels", "unknown"):
        pictures[kind] = np.asarray(Image.open(next((tmp_path / "set" / kind).iterdir())))
    return report, pictures


@pytest.mark.parametrize(
    "said, name",
    [
        ({"name": "Tumor"}, "Tumor"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive"),
        ({"name": "Tumor: Positive", "colorRGB": -1}, "Tumor: Positive"),
        ({"name": "Positive", "parentClass": {"name": "Tumor"}}, "Tumor: Positive"),
        ({"name": {"name": "Tumor"}}, "Tumor"),
        ("Tumor", "Tumor"),
        (["Tumor", "Positive"], "Tumor: Positive"),
    ],
    ids=str,
)
def test_classes_in_every_way_that_qupath_writes_them(tmp_path, slides, said, name):
    nucleus = square(150, 150, 20, "annotation")
    nucleus["properties"]["classification"] = said
    report, pictures = exported(tmp_path, slides, [square(100, 100, 300, "annotation", "Complete"), nucleus])
    assert report["classes"] == {name: 1} and not pictures["unknown"].any()
    assert (pictures["labels"][50:70, 50:70] == 1).all()


def test_complete_is_known_in_every_way_too(tmp_path, slides):
    region = square(100, 100, 300, "annotation")
    region["properties"]["metadata"] = {"hemalum.corrected": "yes"}
    other = square(600, 100, 300, "annotation", "Complete")
    other["properties"]["metadata"] = {"hemalum.corrected": "no"}
    report, _ = exported(tmp_path, slides, [region, other, square(150, 150, 20), square(650, 150, 20)])
    assert report["images"] == 1 and report["nuclei"] == 1


def test_what_nobody_knows_is_not_background(tmp_path, slides):
    features = [
        square(100, 100, 300, "annotation", "Complete"),
        square(150, 150, 20, name="Tumor"),
        square(160, 150, 20, "annotation"),  # of nuclear size, without a class; half of it is labelled
        square(200, 200, 100, "annotation"),  # 50 µm: it frames something
        square(250, 250, 30, "annotation", "Ignore*"),
        square(300, 300, 20, "annotation", "Artefact: Ignore*"),
        square(350, 350, 20, "annotation", "Region*"),
        square(600, 600, 20, "annotation"),  # outside
    ]
    report, pictures = exported(tmp_path, slides, features)
    wanted = np.zeros((300, 300), bool)
    wanted[50:70, 70:80] = wanted[150:180, 150:180] = wanted[200:220, 200:220] = True
    assert ((pictures["unknown"] > 0) == wanted).all() and set(np.unique(pictures["unknown"])) == {0, 255}
    assert report["counts"]["pixels of unknown outlines, left out of the loss"] == wanted.sum()
    assert (pictures["labels"][50:70, 50:70] == 1).all() and report["nuclei"] == 1


def test_odd_features_among_many_are_counted_and_named(tmp_path, slides):
    features = [square(100, 100, 300, "annotation", "Complete")]
    features += [square(110 + 25 * (i % 10), 110 + 25 * (i // 10), 15) for i in range(100)]
    odd = [
        {"type": "Feature", "geometry": None, "properties": {}},
        {"type": "Feature"},
        "text",
        None,
        {"geometry": {"type": "Polygon", "coordinates": []}, "properties": {"classification": 7}},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [1, 1], [0, 0]]]}, "properties": {}},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, None], [9, 9], [0, 0]]]}, "properties": {}},
        {"geometry": {"type": "Blob", "coordinates": [1, 2]}, "properties": {}},
        square(10, 10, 10, "detection", **{"classification": [1]}),
    ]
    features[50:50] = odd
    said = []
    report, _ = exported(tmp_path, slides, features, say=said.append)
    assert report["nuclei"] == 100 and report["counts"]["features that cannot be understood, left out"] == len(odd)
    numbers = [int(sentence.split("feature ")[1].split(":")[0]) for sentence in report["odd"]]
    assert numbers == list(range(51, 51 + len(odd))) and sum("left out: a.geojson" in text for text in said) == len(odd)


def test_a_file_of_nothing_but_odd_features_is_refused(tmp_path, slides):
    for content in ([{"type": "Feature", "geometry": None}], {"a": 1}, {"type": "FeatureCollection"}, 7, "x"):
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UsageError, match="is not GeoJSON"):
            export([AnnotatedSlide(slides / "s0.png", path, mpp=0.5)], tmp_path / "set")


def test_a_region_outside_its_image_is_said(tmp_path, slides):
    features = [square(5000, 5000, 300, "annotation", "Complete"), square(5100, 5100, 20)]
    with pytest.raises(UsageError, match="no Complete region lies inside its image"):
        exported(tmp_path, slides, features)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "text",
    [
        "image,annotations,patient,mpp\ns0.png,a.geojson,p,0.5\n",
        "image;annotations;patient;mpp\ns0.png;a.geojson;p;0,5\n",
        "image;annotations;patient;mpp\r\ns0.png;a.geojson;p;0.5\r\n;;;\r\n",
        'image,annotations,patient,mpp\ns0.png,a.geojson,p,"0,5"\n',
        "image\tannotations\tpatient\tmpp\ns0.png\ta.geojson\tp\t0,5\n",
        " image ; annotations ;patient; mpp\ns0.png; a.geojson ;p; 0,5\n",
    ],
)
def test_lists_as_spreadsheets_write_them(tmp_path, slides, text, mark):
    (tmp_path / "list.csv").write_bytes((mark + text).encode("utf-8"))
    (source,) = read_list(tmp_path / "list.csv")
    assert (source.image, source.annotations) == (tmp_path / "s0.png", tmp_path / "a.geojson")
    assert (source.patient, source.mpp) == ("p", 0.5)


def test_a_byte_order_mark_before_geojson(tmp_path, slides):
    features = [square(100, 100, 300, "annotation", "Complete"), square(150, 150, 20)]
    content = json.dumps({"type": "FeatureCollection", "features": features})
    (tmp_path / "a.geojson").write_text(content, encoding="utf-8-sig")
    report = export([AnnotatedSlide(slides / "s0.png", tmp_path / "a.geojson", mpp=0.5)], tmp_path / "set", mpp=0.5)
    assert report["nuclei"] == 1


def test_a_region_of_many_corners_is_cut_as_before():
    import shapely

    from hemalum.projects.cut import windows

    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    radii = 6000 + 300 * np.sin(40 * angles)
    star = shapely.Polygon(np.column_stack([7000 + radii * np.cos(angles), 7000 + radii * np.sin(angles)]))
    for x, y, width, height in (found := windows(star, 0.5)):
        cell = shapely.box(x // 1024 * 1024, y // 1024 * 1024, x // 1024 * 1024 + 1024, y // 1024 * 1024 + 1024)
        inside = shapely.transform(star, lambda points: points * 0.5).intersection(cell).bounds
        assert (x, y, x + width, y + height) == pytest.approx(inside, abs=1.001)
    assert found == sorted(found, key=lambda window: (window[1] // 1024, window[0] // 1024)) and len(found) > 30
