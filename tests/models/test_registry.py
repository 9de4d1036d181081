"""Model packages: damaged ones are refused by name, installing is whole, int8 is used only where it agrees."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hemalum import models
from hemalum.engine import open_engine
from hemalum.errors import DamagedModel, UnknownModel, UsageError


@pytest.fixture
def package(toy_models, tmp_path):
    return shutil.copytree(toy_models / "toy", tmp_path / "toy")


def changed(package, **values):
    card = json.loads((package / "card.json").read_text())
    card.update(values)
    (package / "card.json").write_text(json.dumps(card))


def test_unknown_keys_are_an_error_that_names_them(package):
    changed(package, treshold=1)
    with pytest.raises(DamagedModel, match="treshold"):
        models.find("toy", [package.parent])
    broken = []
    assert "toy" not in [m.id for m in models.list_models([package.parent], broken)] and "treshold" in broken[0]


@pytest.mark.parametrize(
    "values, problem",
    [
        ({"mpp": 0}, "mpp"),
        ({"mpp": "x"}, "mpp"),
        ({"halo": 63}, "halo"),
        ({"largest_nucleus_um": 90.0}, "seams"),
        ({"thresholds": {"foreground": 0.5}}, "marker"),
        ({"files": {}}, "sha256"),
        ({"id": "No Spaces"}, "id"),
        ({"outputs": {"name": "maps", "channels": ["x"]}}, "channels"),
        ({"outputs": {"name": "maps", "channels": 2}}, "channels"),
        ({"licence": {"weights": 1, "why": ""}}, "strings"),
        ({"input": {"name": "pixels", "layout": "NHWC", "dtype": "uint8", "multiple_of": "x"}}, "multiple_of"),
        ({"description": 1}, "strings"),
        ({"precision": []}, "objects"),
        ({"data": "x"}, "a list"),
    ],
)
def test_cards_that_break_the_contract_are_refused(package, values, problem):
    changed(package, **values)
    with pytest.raises(DamagedModel, match=problem):
        models.Card.read(package)


def test_a_damaged_file_is_found(package):
    content = bytearray((package / "model.onnx").read_bytes())
    content[100] ^= 1
    (package / "model.onnx").write_bytes(content)
    model = models.find("toy", [package.parent])
    assert "damaged" in models.check(model)[0]
    with pytest.raises(DamagedModel, match="sha256"):
        open_engine(model, "cpu")
    with pytest.raises(DamagedModel):
        models.install(package)


def test_a_broken_package_does_not_hide_behind_a_good_one_of_its_id(package, toy_models):
    changed(package, treshold=1)
    aside = shutil.copytree(package, package.parent / "folder" / "of-another-name")
    for given in (package, package.parent, aside, aside.parent):
        with pytest.raises(DamagedModel, match="treshold"):
            models.find("toy", [given, toy_models])
    assert models.find("nuclei", [aside.parent]).id == "nuclei"  # but what it does not claim to be is still found


def test_damaged_weights_are_found_when_another_graph_computes(package):
    shutil.copy(package / "model.onnx", package / "model.int8.onnx")
    files = json.loads((package / "card.json").read_text())["files"]
    changed(package, files={**files, "model.int8.onnx": files["model.onnx"]})
    model = models.find(str(package))
    assert open_engine(model, "cpu").precision == "int8"
    (package / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(DamagedModel, match="model.onnx is damaged"):
        open_engine(model, "cpu")


def test_a_graph_that_does_not_speak_as_its_card_says(package):
    card = json.loads((package / "card.json").read_text())
    for side, name in (("input", "picture"), ("outputs", "nuclei")):
        changed(package, **{**card, side: {**card[side], "name": name}})
        with pytest.raises(DamagedModel, match=f"not '{name}' as its card says"):
            open_engine(models.find(str(package)), "cpu")


def test_a_model_that_computes_something_else_is_refused(package):
    with np.load(package / "check.npz") as stored:
        pixels, maps = stored["pixels"], stored["maps"]
    np.savez_compressed(package / "check.npz", pixels=pixels, maps=1 - maps)
    files = json.loads((package / "card.json").read_text())["files"]
    changed(package, files={**files, "check.npz": hashlib.sha256((package / "check.npz").read_bytes()).hexdigest()})
    with pytest.raises(DamagedModel, match="other maps"):
        open_engine(models.find("toy", [package.parent]), "cpu")


def test_int8_that_disagrees_falls_back_with_a_sentence(package, toy_model):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(package / "model.onnx")
    good = model.SerializeToString()
    for tensor in model.graph.initializer:
        if tensor.name == "threshold":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(0.7, np.float32), "threshold"))
    for content, used in ((model.SerializeToString(), "fp32"), (good, "int8")):
        (package / "model.int8.onnx").write_bytes(content)
        files = json.loads((package / "card.json").read_text())["files"]
        changed(package, id="toy" + used, files={**files, "model.int8.onnx": hashlib.sha256(content).hexdigest()})
        engine = open_engine(models.find(str(package)), "cpu", threads=1)
        assert engine.precision == used and bool(engine.notices) == (used == "fp32")
    pixels = np.zeros((1, 384, 384, 3), np.uint8)
    assert (engine.maps(pixels) == open_engine(toy_model, "cpu", threads=1).maps(pixels)).all()


def test_install_and_search_order(package, toy_models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setattr("hemalum.models.registry.user_folder", lambda: tmp_path / "data" / "models")
    installed = models.install(package)
    assert installed.folder == tmp_path / "data" / "models" / "toy" and not models.check(installed)
    changed(package, version="2")
    assert models.install(package).card.version == "2" and models.find("toy").card.version == "2"
    assert models.find("toy", [toy_models]).card.version == "1"
    monkeypatch.setenv("HEMALUM_MODELS", str(toy_models))
    assert models.find("toy").card.version == "1"  # without a new process: folders are looked at each time
    assert [p.name for p in (tmp_path / "data" / "models").iterdir()] == ["toy"]


PLACES = {
    "linux": ({}, ".local/share/hemalum/models"),
    "linux with XDG_DATA_HOME": ({"XDG_DATA_HOME": "data"}, "data/hemalum/models"),
    "darwin": ({}, "Library/Application Support/hemalum/models"),
    "darwin with XDG_DATA_HOME": ({"XDG_DATA_HOME": "data"}, "Library/Application Support/hemalum/models"),
    "win32": ({"LOCALAPPDATA": "AppData/Local"}, "AppData/Local/hemalum/models"),
    "win32 with another LOCALAPPDATA": ({"LOCALAPPDATA": "elsewhere"}, "elsewhere/hemalum/models"),
    "win32 without LOCALAPPDATA": ({}, "AppData/Local/hemalum/models"),
}


@pytest.mark.parametrize("case", PLACES)
def test_installed_models_lie_where_they_always_lay(case, tmp_path, monkeypatch):
    variables, place = PLACES[case]
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("sys.platform", case.split()[0])
    assert models.user_folder() == tmp_path / place


def test_what_is_not_there(toy_models, tmp_path):
    with pytest.raises(UnknownModel, match="toy"):
        models.find("nope", [toy_models])
    with pytest.raises(UsageError, match="does not exist"):
        models.find("toy", [tmp_path / "absent"])


def test_engine_takes_any_size(toy_model):
    engine = open_engine(toy_model, "cpu")
    large = np.random.default_rng(0).integers(0, 255, (1, 128, 160, 3), np.uint8)
    assert engine.maps(large[:, :1, :1]).shape == (1, 2, 2, 2)
    part = engine.maps(large[:, :100, :150])
    np.testing.assert_array_equal(part[..., :120, :200], engine.maps(large)[..., :120, :200])


def test_engine_refuses_what_does_not_fit(toy_model):
    with pytest.raises(UsageError, match="device"):
        open_engine(toy_model, "tpu")
    with pytest.raises(UsageError, match="int8"):
        open_engine(toy_model, "cpu", precision="int8")
    with pytest.raises(ValueError, match="uint8"):
        open_engine(toy_model, "cpu").maps(np.zeros((1, 384, 384, 3), np.float32))


def test_a_folder_without_a_model_is_not_installed(tmp_path):
    with pytest.raises(UsageError, match="holds no model; give a folder"):
        models.install(tmp_path)


def test_bundled_files_are_small():
    research = Path(__file__).parents[2] / "training" / "models" / "nuclei-research"
    for model in (models.find("nuclei"), models.find(str(research))):
        assert all((model.folder / name).stat().st_size <= 16 << 20 for name in model.card.files), model.id
