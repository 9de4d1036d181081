"""`QuPath script` with the extension: what a click does, what it records, and corrections."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def test_click_script_and_corrections_agree(qupath, toy_server, discs):
    result = qupath.script("-i", str(discs), str(HERE / "headless.groovy"), **toy_server)[-1]
    assert result["nuclei"] == 35 * 25
    assert result["events"] == 1
    flags = "locked again whole restored recorded foreign editable corrected ids exported kept cells cellIds cellMeasured".split()
    assert {flag: result[flag] for flag in flags} == dict.fromkeys(flags, True)
