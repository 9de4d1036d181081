"""Jobs: killed at any moment, damaged, refused, set aside; what is resumed equals what was never interrupted."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemalum import files
from hemalum.errors import DiskFull, PartlyFailed, UsageError, VersionMismatch
from hemalum.jobs import pieces
from hemalum.jobs.job import begin, work_on
from hemalum.jobs.manifest import Manifest
from hemalum.jobs.report import page
from hemalum.jobs.status import state, status
from hemalum.lock import JobLock

spec = importlib.util.spec_from_file_location("kill_many", Path(__file__).with_name("kill_many.py"))
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return kills.make_slides(tmp_path_factory.mktemp("job") / "in")


@pytest.fixture(scope="module")
def manifest(slides, toy_models):
    return kills.manifest(slides, toy_models)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, manifest):
    folder = tmp_path_factory.mktemp("whole") / "job"
    begin(folder, manifest)
    work_on(folder, lambda sentence: None)
    return folder


def hemalum(*arguments):
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_killed_in_mid_slide_and_resumed(tmp_path, manifest, whole):
    """Real processes, real SIGKILLs, sent once pieces of an unfinished slide are on disk."""
    folder = tmp_path / "job"
    begin(folder, manifest)
    for wanted in (2, 8, 17):
        command = [sys.executable, "-m", "hemalum", "job", "resume", str(folder)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None:
            found = status(folder)
            if sum(slide["tiles_done"] or 0 for slide in found["slides"]) >= wanted:
                break
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        assert child.wait() in (-signal.SIGKILL, 0)
    assert status(folder)["state"] in ("interrupted", "done")
    assert hemalum("job", "resume", folder).returncode == 0
    assert kills.compare(folder, whole) == []
    assert status(folder)["state"] == "done" and not list((folder / "job.work").glob("*/pieces"))


def test_the_same_nuclei_as_segment(whole, slides, toy_model, tmp_path):
    from hemalum.runs.pipeline import Pipeline, segment_slide
    from hemalum.slides import open_slide

    parameters = Manifest.read(whole).parameters
    with Pipeline("cpu", 1, "fp32") as pipeline, open_slide(slides[1], 0.5) as slide:
        segment_slide(slide, toy_model, pipeline, parameters, ["geojson", "labels"], tmp_path)
    for name in ("slide1.geojson", "slide1.labels.png"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_a_damaged_piece_is_computed_again(tmp_path, manifest, whole, monkeypatch):
    folder = tmp_path / "job"
    begin(folder, manifest)

    def stop(path, fill, **more):
        if path.name == "000008-1.npz":
            raise DiskFull("no space left")
        files.commit(path, fill, **more)

    monkeypatch.setattr(pieces, "commit", stop)
    with pytest.raises(DiskFull):
        work_on(folder, lambda sentence: None)
    monkeypatch.undo()
    kept = sorted((folder / "job.work" / "slide0" / "pieces").glob("*.npz"))
    assert len(kept) == 8 and not (folder / "slide0.geojson").exists()
    kept[3].write_bytes(kept[3].read_bytes()[:-200])
    content = bytearray(kept[5].read_bytes())
    content[len(content) // 2] ^= 255
    kept[5].write_bytes(content)
    work_on(folder, lambda sentence: None)
    assert kills.compare(folder, whole) == []
    assert 6 <= json.loads((folder / "slide0.run.json").read_text(encoding="utf-8"))["restored_tiles"] <= 7


def test_a_full_disk_ends_the_command_and_keeps_what_was_finished(tmp_path, manifest, whole):
    import resource

    folder = tmp_path / "job"
    begin(folder, manifest)

    def small():  # the kernel refuses to write a file beyond this size
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    command = [sys.executable, "-m", "hemalum", "job", "resume", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=small, check=False)
    assert done.returncode == 1 and "no space left" in done.stderr and "Traceback" not in done.stderr
    assert not list(folder.glob("*.part"))
    work_on(folder, lambda sentence: None)
    assert kills.compare(folder, whole) == []


def test_one_writer_who_is_named(tmp_path, manifest):
    folder = tmp_path / "job"
    begin(folder, manifest)
    with JobLock(folder):
        done = hemalum("job", "resume", folder)
        assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr
        assert status(folder)["state"] == "running"
    assert status(folder)["state"] == "waiting"


def test_what_fails_is_tried_again_then_set_aside_and_the_rest_goes_on(tmp_path, slides, toy_models):
    folder, source = tmp_path / "job", tmp_path / "in"
    shutil.copytree(slides[0].parent, source)
    made = kills.manifest(sorted(source.iterdir()), toy_models)
    begin(folder, made)
    (source / "slide0.png").rename(tmp_path / "away.png")
    (source / "slide2.png").write_bytes(b"no image any more")
    said = []
    with pytest.raises(PartlyFailed, match="2 of 3"):
        work_on(folder, said.append, pause=0.01)
    assert sum("slide0: will be tried again" in sentence for sentence in said) == 2
    assert "does not exist" in state(folder, "slide0")["reason"]
    assert "another size" in state(folder, "slide2")["reason"]
    assert state(folder, "slide1")["status"] == "done"
    (tmp_path / "away.png").rename(source / "slide0.png")  # the network folder is back
    shutil.copy(slides[2], source / "slide2.png")
    assert work_on(folder, said.append, pause=0.01)["state"] == "done"


def test_a_tile_that_fails_makes_the_slide_partly_done_and_only_it_is_computed_again(
    tmp_path, slides, toy_models, whole, monkeypatch
):
    from hemalum.errors import UnreadableImage
    from hemalum.jobs import slide_run

    folder = tmp_path / "job"
    begin(folder, kills.manifest(slides[:1], toy_models))
    read = slide_run.Reader.read

    def poisonous(self, rect, n):
        if rect.x > 300 and rect.y == 0:
            raise UnreadableImage("this tile is poisonous")
        return read(self, rect, n)

    monkeypatch.setattr(slide_run.Reader, "read", poisonous)
    with pytest.raises(PartlyFailed, match="1 done in part"):
        work_on(folder, lambda sentence: None)
    assert "poisonous" in page(folder)
    monkeypatch.undo()
    work_on(folder, lambda sentence: None)
    assert (folder / "slide0.geojson").read_bytes() == (whole / "slide0.geojson").read_bytes()
    record = json.loads((folder / "slide0.run.json").read_text(encoding="utf-8"))
    assert 0 < record["counts"]["tiles"] - record["restored_tiles"] <= 2


def test_another_model_or_version_is_refused(tmp_path, slides, toy_models):
    models = tmp_path / "models"
    shutil.copytree(toy_models, models)
    folder = tmp_path / "job"
    begin(folder, kills.manifest(slides[:1], models))
    with pytest.raises(UsageError, match="holds a job already"):
        begin(folder, kills.manifest(slides[:1], models))
    card = json.loads((models / "toy" / "card.json").read_text())
    card["files"]["model.onnx"] = "0" * 64
    (models / "toy" / "card.json").write_text(json.dumps(card))
    with pytest.raises(VersionMismatch, match="sha256"):
        work_on(folder)
    content = json.loads((folder / "job.json").read_text())
    for change in ({"hemalum": "0.0.1"}, {"format": 99}):
        (folder / "job.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(VersionMismatch, match="begin a new job"):
            work_on(folder)
    (folder / "job.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        status(folder)
    with pytest.raises(UsageError, match="holds no job"):
        status(tmp_path)


def test_the_command_its_status_and_its_report(tmp_path, slides, toy_models):
    folder = tmp_path / "job"
    options = "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5, "--region", "100,100,400,300"
    done = hemalum("job", "run", slides[0].parent, "-o", folder, *options)
    assert done.returncode == 0, done.stderr
    again = hemalum("job", "run", slides[0].parent, "-o", folder, *options)
    assert again.returncode == 2 and "holds a job already" in again.stderr
    found = json.loads(hemalum("job", "status", folder, "--json").stdout)
    assert found["state"] == "done" and found["counts"]["done"] == 3 and found["nuclei"] > 100
    assert hemalum("job", "report", folder).returncode == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 6 and text.count("<svg") == 6
    assert "http" not in text.replace("http-equiv", "") and 'src="/' not in text
    assert hemalum("job", "run", slides[0].parent, "-o", tmp_path / "b", *options[:-2], "--mpp", "9").returncode == 2
    assert not (tmp_path / "b").exists()


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_report_shows_pictures_and_charts_in_a_browser(whole, tmp_path):
    (tmp_path / "report.html").write_text(page(whole), encoding="utf-8")
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1180,1400",
        f"--user-data-dir={tmp_path / 'profile'}",
    )
    command = [CHROMIUM, *options, f"--screenshot={tmp_path / 'seen.png'}", (tmp_path / "report.html").as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    seen = np.asarray(Image.open(tmp_path / "seen.png").convert("RGB")).astype(int)
    outlines = (seen[..., 1] > seen[..., 0] + 20) & (seen[..., 1] > seen[..., 2] + 20)
    bars, line = ((seen == colour).all(2) for colour in ([0x66, 0x88, 0xAA], [0xCC, 0x66, 0]))
    assert outlines.sum() > 1000 and bars.sum() > 1000 and line.sum() > 50
    assert bars.nonzero()[1].min() > outlines.nonzero()[1].max(), "charts beside the pictures"


def test_a_folder_of_slides_that_is_away_for_a_while_is_waited_for(tmp_path, slides, toy_models, whole):
    folder, source = tmp_path / "job", tmp_path / "in"
    shutil.copytree(slides[0].parent, source)
    begin(folder, kills.manifest(sorted(source.iterdir()), toy_models))
    source.rename(tmp_path / "away")
    said = []

    def say(sentence):
        said.append(sentence)
        if "waiting for it" in sentence:
            (tmp_path / "away").rename(source)

    work_on(folder, say, pause=0.01)
    assert len([sentence for sentence in said if "waiting" in sentence]) == 1 and kills.compare(folder, whole) == []


def test_a_surprise_in_one_slide_does_not_end_the_job(tmp_path, slides, toy_models, whole, monkeypatch):
    from hemalum.slides import Slide

    folder, overview = tmp_path / "job", Slide.overview
    begin(folder, kills.manifest(slides, toy_models))
    monkeypatch.setattr(Slide, "overview", lambda slide: 1 / 0 if slide.name == "slide1" else overview(slide))
    said = []
    with pytest.raises(PartlyFailed, match="1 of 3 slides were set aside"):
        work_on(folder, said.append, pause=0.01)
    report = folder / "slide1.error.txt"
    reason = state(folder, "slide1")["reason"]
    assert "ZeroDivisionError" in reason and str(report) in reason and "overview" in report.read_text()
    monkeypatch.undo()
    work_on(folder, said.append)
    assert kills.compare(folder, whole) == [] and not report.exists()


def test_what_was_deleted_is_made_again_and_what_was_not_stays(tmp_path, whole):
    folder = tmp_path / "job"
    shutil.copytree(whole, folder)
    (folder / "slide1.labels.png").unlink()
    said = []
    work_on(folder, said.append)
    assert len(said) == 1 and said[0].startswith("slide1:") and kills.compare(folder, whole) == []
