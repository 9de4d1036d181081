"""What a project's import may touch, in a real QuPath where PAQUO_QUPATH_DIR names one: the rows that decide for the
extension decide here, too."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hemalum.projects.replacing import RULE, quoted

HERE = Path(__file__).parent
CASES = HERE.parent / "cases" / "touch.json"
QUPATH = Path(os.environ.get("PAQUO_QUPATH_DIR", "/nonexistent"))
LAUNCHER = next(iter(sorted(QUPATH.glob("bin/QuPath*"))), None)


def rows():
    """Rows of runs on the whole image, without TMA cores, which no script can make alone."""
    for row in json.loads(CASES.read_text(encoding="utf-8")):
        kinds = {thing.get("kind") for thing in [*row["objects"], *row.get("at the end", ())]}
        if row.get("chosen") == ["image"] and "found" in row and not kinds & {"core", "missing core"}:
            yield row


@pytest.mark.skipif(LAUNCHER is None, reason="PAQUO_QUPATH_DIR names no QuPath")
def test_the_rows_that_decide_for_the_extension_decide_for_scripts(tmp_path):
    script, cases = tmp_path / "rows.groovy", tmp_path / "rows.json"
    script.write_text(RULE + (HERE / "touch_rows.groovy").read_text(encoding="utf-8"), encoding="utf-8")
    chosen = list(rows())
    cases.write_text(json.dumps(chosen), encoding="utf-8")
    home = {"JAVA_TOOL_OPTIONS": f"-Duser.home={tmp_path} -Djava.util.prefs.userRoot={tmp_path}"}
    command = [str(LAUNCHER), "script", "-a", str(cases), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | home, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout + done.stderr
    results = json.loads(lines[0].removeprefix("RESULT "))
    assert len(chosen) > 12
    for row in chosen:
        made, wanted = results[row["case"]], row["expect"]
        assert made["removed"] == sorted(wanted["removed"]), row["case"]
        assert made["put"] == sorted(wanted["put"]), row["case"]
        said = {name.upper(): count for name, count in made["counts"].items() if count and name != "put"}
        assert said == wanted.get("said", {}), row["case"]


def test_what_a_project_brings_is_never_executed(tmp_path):
    """Single quotes, in which Groovy looks for nothing but escapes; read here as Groovy reads them."""
    texts = ["${'calc'.execute()}", "it's", 'a "b"', "a\\", "a\\u0041", "line\nbreak\r", "$1", "ä→東😀", "\0", "\udce4"]
    for text in texts:
        said = quoted(text)
        assert said.isascii() and "\n" not in said and said[0] == said[-1] == "'"
        inner = said[1:-1]
        units, at = [], 0
        while at < len(inner):
            assert inner[at] != "'"
            if inner.startswith("\\u", at):
                units.append(int(inner[at + 2 : at + 6], 16))
                at += 6
            elif inner[at] == "\\":
                units.append(ord(inner[at + 1]))
                at += 2
            else:
                units.append(ord(inner[at]))
                at += 1
        assert b"".join(unit.to_bytes(2, "big") for unit in units) == text.encode("utf-16-be", "surrogatepass")
