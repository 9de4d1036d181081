"""`catalog.json` for QuPath's extension manager (QuPath 0.6 and newer).

QuPath takes addresses on github.com only and demands them: a catalog without them is none, so without a release URL
none is written.  `catalog.schema.json` is the schema as QuPath reads it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator

from release.extension import NAME
from release.failure import ReleaseFailure
from release.source import tag_of

SCHEMA = json.loads(Path(__file__).with_name("catalog.schema.json").read_text(encoding="utf-8"))
GITHUB = re.compile(r"(?P<home>https://github\.com/[^/]+/[^/]+)/releases/download/(?P<tag>[^/]+)")
DESCRIPTION = (
    "Nuclei of H&E slides from a server on this computer or a shared one, and slides in a reference stain. "
    "For research use only."
)
QUPATH = {"min": "v0.6.0", "max": "v0.7.99"}  # all of 0.7: QuPath compares to the last digit


def check_url(url: str, version: str) -> str:
    """The release's address without a slash at its end.

    Raises:
        ReleaseFailure: no https, or a release of another version on github.com.
    """
    url = url.strip().rstrip("/")
    if url and not url.startswith("https://"):
        raise ReleaseFailure(
            f"RELEASE_URL={url} is not encrypted; give the https address of the folder the files will lie in"
        )
    if "//github.com/" in url:
        found = GITHUB.fullmatch(url)
        if not found or found["tag"] != tag_of(version):
            raise ReleaseFailure(
                f"RELEASE_URL={url} is not where GitHub keeps version {version}; "
                f"give https://github.com/OWNER/REPOSITORY/releases/download/{tag_of(version)}"
            )
    return url


def catalog_of(version: str, url: str, published: dict | None = None) -> dict | None:
    """The catalog with this release first, those of an already published one after it; None where there can be none."""
    found = GITHUB.fullmatch(url)
    if not found:
        return None
    release = {
        "name": tag_of(version),
        "main_url": f"{url}/{NAME}-{version}.jar",
        "javadoc_urls": [f"{url}/{NAME}-{version}-javadoc.jar"],
        "version_range": QUPATH,
    }
    earlier = [entry for entry in _releases(published) if entry["name"] != release["name"]]
    return {
        "name": "Hemalum catalog",
        "description": "Nuclei and stain normalization for H&E",
        "extensions": [
            {
                "name": "Hemalum",
                "description": DESCRIPTION,
                "author": "The Hemalum maintainers",
                "homepage": found["home"],
                "starred": False,
                "releases": [release, *earlier],
            }
        ],
    }


def catalog_faults(catalog: dict) -> list[str]:
    """What QuPath's extension manager, or the check of its catalogs, would refuse."""
    errors = Draft202012Validator(SCHEMA).iter_errors(catalog)
    faults = [f"{error.json_path}: {error.message}" for error in errors]
    if faults:
        return faults
    for entry in _releases(catalog):
        allowed = entry["version_range"]
        if "max" in allowed and _numbers(allowed["min"]) > _numbers(allowed["max"]):
            faults.append(f"{entry['name']}: min {allowed['min']} is above max {allowed['max']}")
    names = [entry["name"] for entry in _releases(catalog)]
    if len(set(names)) < len(names):
        faults.append("a release is listed twice")
    return faults


def _releases(catalog: dict | None) -> list[dict]:
    return catalog["extensions"][0]["releases"] if catalog else []


def _numbers(version: str) -> tuple[int, ...]:
    """`v0.7.0-rc1` lies below `v0.7.0`."""
    main, _, candidate = version.removeprefix("v").partition("-rc")
    return (*map(int, main.split(".")), int(candidate) if candidate else 1_000_000)
