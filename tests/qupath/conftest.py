"""A real QuPath for the tests of this folder: `make qupath-test QUPATH=DIR`.

DIR is a QuPath folder or a folder of its jars.

Says that the tests were skipped where no QuPath was named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
SLIDE = HERE.parent.parent / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs"


@dataclass
class QuPath:
    """A QuPath with a user home of its own, so that no user's profile is touched, and the extension in it."""

    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def launcher(self) -> list[str]:
        """Its launcher, or Java on a folder of its jars."""
        found = [
            p
            for pattern in ("bin/QuPath*", "Contents/MacOS/QuPath*", "QuPath*.exe")
            for p in sorted(self.folder.glob(pattern))
        ]
        if found:
            return [str(found[0])]
        java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else shutil.which("java")
        return [str(java), "--enable-native-access=ALL-UNNAMED", "-cp", str(self.folder / "*"), "qupath.QuPath"]

    def start(self, *arguments: str, options: str = "", **environment: str) -> subprocess.Popen:
        """Start it; `options` are Java's.  Standard output and error together are text on `stdout`."""
        # Java takes no notice of $HOME
        java = f"-Duser.home={self.home} -Djava.util.prefs.userRoot={self.home} {options}"
        return subprocess.Popen(
            [*self.launcher, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | self.environment | environment | {"JAVA_TOOL_OPTIONS": java},
        )  # fmt: skip

    def prefer(self, **preferences: str) -> None:
        """Set preferences of this profile; `_` stands for a dot."""
        lines = [
            f"PathPrefs.createPersistentPreference('{key.replace('_', '.')}', '').set('{value}')"
            for key, value in preferences.items()
        ]
        # a fresh profile names no folder of extensions
        lines.append(f"PathPrefs.userPathProperty().set('{self.home / 'QuPath' / 'v0.7'}')")
        self.script(
            "-c",
            "\n".join(
                ["import qupath.lib.gui.prefs.PathPrefs", *lines, "PathPrefs.savePreferences()", "println 'RESULT {}'"]
            ),
        )

    def script(self, *arguments: str, **environment: str) -> list[dict]:
        """Run `QuPath script` and return what it printed after RESULT, one dictionary a line."""
        return self.results(self.start("script", *arguments, **environment))

    @staticmethod
    def results(process: subprocess.Popen, timeout: float = 1800) -> list[dict]:
        """What a QuPath prints after RESULT until it ends; fails with the end of its log where it says nothing."""
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        found = [json.loads(line.removeprefix("RESULT ")) for line in said.splitlines() if line.startswith("RESULT ")]
        assert found and not any("error" in one for one in found), said[-6000:]
        return found


@pytest.fixture
def qupath(tmp_path) -> QuPath:
    folder, jar = os.environ.get("QUPATH"), os.environ.get("JAR")
    if not folder or not jar:
        pytest.skip("no QuPath was named: make qupath-test QUPATH=DIR")
    made = QuPath(Path(folder), tmp_path / "home")
    extensions = made.home / "QuPath" / "v0.7" / "extensions"
    extensions.mkdir(parents=True)
    shutil.copy(jar, extensions)
    made.prefer(hemalum_server_environment=sys.prefix)  # where the local server is started from
    return made


@pytest.fixture
def beside(qupath) -> None:
    """Another extension's libraries beside ours: gRPC, protobuf and Guava of other versions than QuPath's and ours."""
    elders = HERE.parent.parent / "qupath-extension" / "checks" / "target" / "elders"
    jars = [jar for jar in elders.glob("*.jar") if not jar.name.startswith(("groovy-", "slf4j-"))]
    if not jars:
        pytest.skip("no other libraries are there: make extension")
    for jar in jars:
        shutil.copy(jar, qupath.home / "QuPath" / "v0.7" / "extensions")


@pytest.fixture(scope="session")
def slide() -> Path:
    """The slide region that lies in the package, 2220 × 2967 px at 0.499 µm/px."""
    return SLIDE


@pytest.fixture(scope="session")
def mosaic(slide, tmp_path_factory) -> list[Path]:
    """Eight equal files of 8192² px: the slide region again and again, in JPEG tiles of 256² px."""
    import tifffile

    from hemalum.grid.tiling import Rect
    from hemalum.slides import open_slide

    with open_slide(slide) as region:
        pixels = region.read(Rect(0, 0, *region.size))
    whole = np.pad(pixels, [(0, 8192 - pixels.shape[0]), (0, 8192 - pixels.shape[1]), (0, 0)], mode="wrap")
    first = tmp_path_factory.mktemp("mosaic") / "0.tif"
    micrometres = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        first,
        whole,
        photometric="rgb",
        tile=(256, 256),
        compression="jpeg",
        compressionargs={"level": 85},
        **micrometres,
    )
    return [first] + [Path(shutil.copy(first, first.with_name(f"{i}.tif"))) for i in range(1, 8)]


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """Dark discs on a light ground, 1400 × 1000 px: 35 × 25 nuclei for the toy model."""
    y, x = np.mgrid[:1000, :1400]
    disc = (x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 64
    pixels = np.where(disc[..., None], [74, 40, 112], [232, 200, 220]).astype(np.uint8)
    path = tmp_path_factory.mktemp("images") / "discs.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def wide(discs) -> Path:
    """The discs side by side: a dozen tiles in a row."""
    path = discs.with_name("wide.png")
    Image.fromarray(np.hstack([np.asarray(Image.open(discs))[:400]] * 9)).save(path)
    return path


@pytest.fixture(scope="session")
def stack(discs) -> Path:
    """Three equal planes of the discs, as ImageJ writes them."""
    import tifffile

    path = discs.with_name("stack.tif")
    plane = np.asarray(Image.open(discs))[:480, :480]
    tifffile.imwrite(path, np.stack([plane] * 3), imagej=True, metadata={"axes": "ZYXS"})
    return path


@pytest.fixture(scope="session")
def toy_server(tmp_path_factory):
    """A server with the toy model, as the environment that QuPath's scripts read."""
    sys.path.insert(0, str(HERE.parent))
    from conftest import write_toy_model

    models = tmp_path_factory.mktemp("models")
    write_toy_model(models)
    command = [sys.executable, "-m", "hemalum", "serve", "--local-child", "--models", str(models)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    hello = json.loads(child.stdout.readline())
    yield {
        "HEMALUM_TEST_SERVER": f"127.0.0.1:{hello['port']}",
        "HEMALUM_TEST_TOKEN": hello["token"],
        "HEMALUM_TEST_MODEL": "toy",
    }
    child.stdin.close()
    child.wait(60)
