"""The extension inside a real QuPath: `make qupath-test QUPATH=DIR`.  Says that it was skipped where no QuPath was named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
QUPATH, JAR = os.environ.get("QUPATH"), os.environ.get("JAR")

pytestmark = pytest.mark.skipif(not QUPATH or not JAR, reason="no QuPath was named: make qupath-test QUPATH=DIR")


def launcher(home: Path) -> list[str]:
    """The command that starts this QuPath with a user home of its own: its launcher, or Java on a folder of its jars."""
    folder = Path(QUPATH)
    found = [p for pattern in ("bin/QuPath*", "Contents/MacOS/QuPath*", "QuPath*.exe") for p in folder.glob(pattern)]
    if found:
        return [str(found[0])]
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else shutil.which("java")
    return [
        str(java), f"-Duser.home={home}", f"-Djava.util.prefs.userRoot={home}", "--enable-native-access=ALL-UNNAMED",
        "-cp", str(folder / "*"), "qupath.QuPath",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    sys.path.insert(0, str(HERE.parent))
    from conftest import write_toy_model

    models = tmp_path_factory.mktemp("models")
    write_toy_model(models)
    command = [sys.executable, "-m", "hemalum", "serve", "--local-child", "--models", str(models)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield json.loads(child.stdout.readline())
    child.stdin.close()
    child.wait(10)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """Dark discs on a light ground, 1400 × 1000 px."""
    y, x = np.mgrid[:1000, :1400]
    disc = (x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 64
    pixels = np.where(disc[..., None], [74, 40, 112], [232, 200, 220]).astype(np.uint8)
    path = tmp_path_factory.mktemp("images") / "discs.png"
    Image.fromarray(pixels).save(path)
    return path


def test_click_script_and_corrections_agree(server, image, tmp_path):
    home = tmp_path / "home"
    extensions = home / "QuPath" / "v0.7" / "extensions"
    extensions.mkdir(parents=True)
    shutil.copy(JAR, extensions)
    environment = os.environ | {
        "HEMALUM_TEST_SERVER": f"127.0.0.1:{server['port']}", "HEMALUM_TEST_TOKEN": server["token"], "HEMALUM_TEST_MODEL": "toy",
    }  # fmt: skip
    # a fresh profile names no folder of extensions
    set_folder = f"qupath.lib.gui.prefs.PathPrefs.userPathProperty().set('{extensions.parent}'); qupath.lib.gui.prefs.PathPrefs.savePreferences()"
    subprocess.run([*launcher(home), "script", "-c", set_folder], env=environment, check=True, capture_output=True, timeout=300)
    run = subprocess.run(
        [*launcher(home), "script", "-i", str(image), str(HERE / "headless.groovy")],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, run.stdout[-4000:] + run.stderr[-4000:]
    result = json.loads(lines[-1].removeprefix("RESULT "))
    assert result["nuclei"] == 35 * 25
    assert result["events"] == 1
    flags = "locked again whole restored recorded foreign editable corrected ids exported kept cells cellIds cellMeasured".split()
    assert {flag: result[flag] for flag in flags} == dict.fromkeys(flags, True)
