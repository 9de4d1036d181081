"""`hemalum segment`, `models`, `check` and `demo` as a user runs them: exit codes, one sentence, nothing left
behind."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image


def hemalum(*arguments, env=None, preexec=None):
    """The finished command: returncode, stdout, stderr."""
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
        preexec_fn=preexec,
        check=False,
    )


@pytest.fixture
def segment(toy_models, tmp_path):
    def call(*arguments, models=toy_models, **options):
        return hemalum(
            "segment",
            *arguments,
            "-o",
            tmp_path / "out",
            "--models",
            models,
            "--model",
            "toy",
            "--device",
            "cpu",
            **options,
        )

    return call


def files(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else None


def test_a_slide_in_nuclei_out(segment, toy_slide, tmp_path):
    done = segment(toy_slide, "--mpp", 0.5, "--format", "geojson,labels,csv,overlay", "--json")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == [
        "tissue.csv",
        "tissue.geojson",
        "tissue.labels.png",
        "tissue.overlay.png",
        "tissue.run.json",
    ]
    record = json.loads(done.stdout)[0]
    assert record == json.loads((tmp_path / "out" / "tissue.run.json").read_text(encoding="utf-8"))
    features = json.loads((tmp_path / "out" / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    assert len(features) == record["counts"]["nuclei"] > 400
    assert record["image"]["mpp"] == 0.5 and record["image"]["mpp_source"] == "--mpp" and record["model"]["id"] == "toy"
    labels = np.asarray(Image.open(tmp_path / "out" / "tissue.labels.png"))
    assert labels.shape == (660, 700) and len(np.unique(labels)) - 1 == len(features)
    measured = features[0]["properties"]["measurements"]
    assert {"Nucleus: Area µm^2", "Hemalum: Hematoxylin OD mean", "Hemalum: Probability"} <= set(measured)
    darker = np.mean([f["properties"]["measurements"]["Hemalum: Hematoxylin OD mean"] for f in features])
    assert darker > 0.2


def test_a_region_is_clipped_and_labels_cover_it(segment, toy_slide, tmp_path):
    done = segment(toy_slide, "--mpp", 0.5, "--format", "geojson,labels", "--region", "600,-10,200,210")
    assert done.returncode == 0 and "clipped to 600,0,100,200" in done.stderr
    assert np.asarray(Image.open(tmp_path / "out" / "tissue.labels.png")).shape == (200, 100)
    features = json.loads((tmp_path / "out" / "tissue.geojson").read_text())["features"]
    xs = [point[0] for f in features for point in f["geometry"]["coordinates"][0]]
    assert features and min(xs) > 580


@pytest.mark.parametrize(
    "options, said",
    [
        ((), "states no resolution"),
        (("--mpp", "0"), "0.05 to 4"),
        (("--mpp", "-1"), "0.05 to 4"),
        (("--mpp", "nan"), "0.05 to 4"),
        (("--mpp", "1000"), "0.05 to 4"),
        (("--mpp", "much"), "not a number"),
        (("--mpp", "0.5", "--region", "9000,0,5,5"), "outside"),
        (("--mpp", "0.5", "--region", "here"), "X,Y,W,H"),
        (("--mpp", "0.5", "--format", "xml"), "xml"),
        (("--mpp", "0.5", "--stain", "blue"), "blue"),
        (("--mpp", "0.5", "--server", "127.0.0.1:9"), "9"),
        (("--mpp", "0.5", "--foreground", "2"), "foreground"),
    ],
)
def test_wrong_options_end_before_work(segment, toy_slide, tmp_path, options, said):
    done = segment(toy_slide, *options)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert files(tmp_path / "out") is None


def test_wrong_inputs_end_before_work(segment, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.png").write_text("not an image")
    (folder / "empty.svs").write_bytes(b"")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "deep.tif")
    Image.new("CMYK", (40, 40)).save(folder / "print.tif")
    for name in ("text.png", "empty.svs", "deep.tif", "print.tif", "absent.png"):
        done = segment(folder / name, "--mpp", 0.5)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr, (
            done.stderr
        )
    assert segment(folder, "--mpp", 0.5).returncode == 2  # several inputs, none of them good
    (folder / "text.jpg").write_bytes(b"")
    assert "would both be written" in segment(folder, "--mpp", 0.5).stderr
    assert files(tmp_path / "out") is None


def test_one_bad_input_does_not_stop_the_others(segment, toy_slide, tmp_path):
    (tmp_path / "bad.png").write_text("not an image")
    done = segment(tmp_path / "bad.png", toy_slide, "--mpp", 0.5)
    assert done.returncode == 3 and files(tmp_path / "out") == ["tissue.geojson", "tissue.run.json"]


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 1, 3), 255),
        np.full((1, 70, 3), 200),
        np.full((300, 300, 3), 255),
        np.zeros((300, 300, 3)),
        np.full((64, 64), 128),
        np.full((64, 64, 4), 250),
    ],
    ids=["1x1", "1xN", "white", "black", "grey", "rgba"],
)
def test_valid_and_quiet(segment, tmp_path, image):
    path = tmp_path / "image.png"
    Image.fromarray(image.astype(np.uint8)).save(path)
    done = segment(path, "--mpp", 0.5, "--format", "geojson,labels")
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out" / "image.labels.png")).shape == image.shape[:2]
    assert "features" in json.loads((tmp_path / "out" / "image.geojson").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_in_mid_run(segment, toy_slide, tmp_path):
    import resource

    small = tmp_path / "a.png"
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(small)
    done = segment(
        small, toy_slide, "--mpp", 0.5, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    )
    assert done.returncode == 1 and "no space left" in done.stderr and "the same command goes on" in done.stderr, (
        done.stderr
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("*.*json")) == ["a.geojson", "a.run.json", "job.json"]
    json.loads((tmp_path / "out" / "a.geojson").read_text())
    other = segment(small, toy_slide, "--mpp", 0.25)
    assert other.returncode == 2 and "other inputs or options" in other.stderr
    again = segment(small, toy_slide, "--mpp", 0.5)  # with room on the disk the same command goes on
    assert again.returncode == 0 and "going on" in again.stderr and "a: " not in again.stdout, again.stderr
    assert files(tmp_path / "out") == ["a.geojson", "a.run.json", "tissue.geojson", "tissue.run.json"]


def test_several_inputs_that_are_killed_go_on_with_the_same_command(segment, toy_models, toy_slide, tmp_path):
    from hemalum.jobs.status import status
    from hemalum.lock import JobLock

    (tmp_path / "in").mkdir()
    for name in "abc":
        shutil.copy(toy_slide, tmp_path / "in" / f"{name}.png")
    own = (
        tmp_path / "out" / "work" / "a" / "state.json"
    )  # of the user: nothing is touched that is not a job's by its name
    own.parent.mkdir(parents=True)
    own.touch()
    assert segment(tmp_path / "in", "--mpp", 0.5, "--format", "geojson,labels").returncode == 0
    assert own.is_file() and not list((tmp_path / "out").glob("job*"))
    shutil.rmtree(own.parent.parent)
    (tmp_path / "out").rename(tmp_path / "whole")
    options = (
        "-o",
        tmp_path / "out",
        "--models",
        toy_models,
        "--model",
        "toy",
        "--device",
        "cpu",
        "--mpp",
        0.5,
        "--format",
        "geojson,labels",
    )
    child = subprocess.Popen([sys.executable, "-m", "hemalum", "segment", str(tmp_path / "in"), *map(str, options)])
    while child.poll() is None and not (tmp_path / "out" / "a.geojson").exists():
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert status(tmp_path / "out")["counts"]["done"] < 3
    with JobLock(tmp_path / "out"):
        second = segment(tmp_path / "in", "--mpp", 0.5, "--format", "geojson,labels")
    assert second.returncode == 2 and "is being worked on by process" in second.stderr
    assert (tmp_path / "out" / "job.json").is_file(), "the job of the process that works on it"
    done = segment(tmp_path / "in", "--mpp", 0.5, "--format", "geojson,labels", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)) == 3
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    for path in (tmp_path / "whole").glob("*.geojson"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_an_output_folder_that_cannot_be_written(segment, toy_slide, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    assert segment(toy_slide, "--mpp", 0.5).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process at once on Windows")
def test_a_run_that_is_told_to_end_leaves_nothing(toy_models, toy_slide, tmp_path):
    large = np.tile(np.asarray(Image.open(toy_slide)), (5, 5, 1))
    Image.fromarray(large).save(tmp_path / "large.png")
    command = [
        "segment",
        tmp_path / "large.png",
        "--mpp",
        0.5,
        "-o",
        tmp_path / "out",
        "--models",
        toy_models,
        "--model",
        "toy",
        "--device",
        "cpu",
    ]
    child = subprocess.Popen([sys.executable, "-m", "hemalum", *map(str, command)], stderr=subprocess.PIPE, text=True)
    while child.poll() is None and not list((tmp_path / "out").glob("*.part")):
        time.sleep(0.01)
    child.terminate()
    assert "interrupted" in child.communicate(timeout=60)[1] and child.returncode == 1
    assert files(tmp_path / "out") is None


def test_output_is_a_file(segment, toy_slide, tmp_path):
    (tmp_path / "out").write_text("in the way")
    done = segment(toy_slide, "--mpp", 0.5)
    assert done.returncode == 2 and "cannot be written" in done.stderr


def test_models_command(toy_models, tmp_path):
    env = {"XDG_DATA_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    assert hemalum("models", "show", "absent", env=env).returncode == 2
    assert hemalum("models", "install", toy_models / "toy", env=env).returncode == 0
    assert "toy" in [m["id"] for m in json.loads(hemalum("models", "list", "--json", env=env).stdout)["models"]]
    assert json.loads(hemalum("models", "check", "toy", "--json", env=env).stdout)["models"][0]["problems"] == []
    (toy_models.parent / "broken").mkdir(exist_ok=True)
    assert json.loads(hemalum("models", "show", "toy", "--json", env=env).stdout)["licence"]["weights"] == "CC0-1.0"


def test_check_says_what_works(toy_models):
    done = hemalum("check", "--json", "--models", toy_models)
    rows = {row["part"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0 and rows["slide library"]["state"] == "good" and rows["model toy"]["state"] == "good"
    assert all(row["fix"] for row in rows.values() if row["state"] == "bad")


def test_demo_is_the_same_as_in_process(toy_models, tmp_path):
    done = hemalum("demo", "-o", tmp_path / "demo", "--model", "toy", "--models", toy_models)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "demo") == ["normalized.png", "nuclei.geojson", "overlay.png", "run.json"]
    from importlib.resources import files as resources

    sample = resources("hemalum") / "data" / "CMU-1-Small-Region.svs"
    done = hemalum("segment", sample, "-o", tmp_path / "own", "--model", "toy", "--models", toy_models)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own" / "CMU-1-Small-Region.geojson").read_bytes() == (
        tmp_path / "demo" / "nuclei.geojson"
    ).read_bytes()


def test_help_imports_nothing_that_takes_time():
    code = (
        "import sys\nfrom hemalum.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
        "    print([name for name in ('numpy', 'numba', 'cv2', 'onnxruntime', 'grpc', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n"), done.stdout  # `make bench` measures how long it takes


def torn(path, side):
    """A slide of noise whose first stored tile is overwritten."""
    import tifffile

    from hemalum.slides import write_pyramid

    noise = np.random.default_rng(1).integers(100, 250, (side, side, 3)).astype(np.uint8)
    write_pyramid(path, (side, side), lambda y, h: noise[y : y + h], mpp=0.5)
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\0" * size)
    return path


def test_a_tile_that_cannot_be_decoded_is_named(segment, tmp_path):
    done = segment(torn(tmp_path / "torn.ome.tif", 1500), "--all-tiles")
    record = json.loads((tmp_path / "out" / "torn.run.json").read_text())
    assert done.returncode == 3 and list(record["failed"]) == ["0"] and record["counts"]["tiles"] == 4, done.stderr
    json.loads((tmp_path / "out" / "torn.geojson").read_text())


def test_an_image_without_a_tile_that_can_be_decoded_is_refused(segment, tmp_path):
    done = segment(torn(tmp_path / "torn.ome.tif", 600), "--all-tiles", "--json")
    assert (
        done.returncode == 2 and "nothing of torn could be segmented" in done.stderr and files(tmp_path / "out") is None
    ), done.stderr


def test_the_scan_of_a_file_is_segmented_whichever_way_it_is_run(segment, toy_slide, toy_models, tmp_path):
    import tifffile

    pixels = np.asarray(Image.open(toy_slide))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as out:
        for name, part, mpp in (("macro", pixels[:64, :64], 4), ("scan", pixels[:400, :500], 0.5)):
            size = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            out.write(part, photometric="rgb", metadata={"axes": "YXS", "Name": name, **size})
    done = segment(tmp_path / "a.ome.tif")
    assert done.returncode == 0 and "2 images in the file; the largest, 1 'scan'" in done.stderr
    image = json.loads((tmp_path / "out" / "a.run.json").read_text(encoding="utf-8"))["image"]
    assert image["size"] == [500, 400] and image["series"] == 1
    assert segment(tmp_path / "a.ome.tif", "--series", 0, "--mpp", 0.5).returncode == 0
    image = json.loads((tmp_path / "out" / "a.run.json").read_text(encoding="utf-8"))["image"]
    assert image["size"] == [64, 64] and image["series"] == 0
    done = segment(tmp_path / "a.ome.tif", "--series", 2)
    assert done.returncode == 2 and "0 'macro' of 64 × 64 px, 1 'scan' of 500 × 400 px" in done.stderr
    options = ("--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5)
    job = hemalum("job", "run", tmp_path / "a.ome.tif", "-o", tmp_path / "job", "--series", 0, *options)
    assert job.returncode == 0, job.stderr
    image = json.loads((tmp_path / "job" / "a.run.json").read_text(encoding="utf-8"))["image"]
    assert image["size"] == [64, 64] and image["series"] == 0


def test_what_of_a_folder_is_not_segmented_is_named(segment, toy_slide, tmp_path):
    (tmp_path / "mix").mkdir()
    shutil.copy(toy_slide, tmp_path / "mix" / "a.png")
    for name in ("b.vsi", "c.lif"):
        (tmp_path / "mix" / name).touch()
    done = segment(tmp_path / "mix", "--mpp", 0.5)
    assert done.returncode == 0 and "2 files of" in done.stderr
    assert "were not taken: b.vsi, c.lif (not a known ending)" in done.stderr


def test_a_table_opens_in_excel_and_in_pandas(segment, toy_slide, tmp_path):
    assert segment(toy_slide, "--mpp", 0.5, "--format", "csv", "--region", "0,0,200,200").returncode == 0
    content = (tmp_path / "out" / "tissue.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfObject ID,") and content.count(b"\xef\xbb\xbf") == 1
    assert "Centroid X µm" in content.decode("utf-8-sig").splitlines()[0].split(",")
