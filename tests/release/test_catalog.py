"""The catalog of QuPath's extension manager."""

from __future__ import annotations

import copy
import json

import pytest
from release.catalog import catalog_faults, catalog_of, check_url
from release.failure import ReleaseFailure

HOME = "https://github.com/owner/repository"
URL = f"{HOME}/releases/download/v1.2.0"


@pytest.fixture
def catalog() -> dict:
    return catalog_of("1.2.0", URL)


def test_it_is_what_qupath_reads(catalog: dict):
    assert catalog_faults(json.loads(json.dumps(catalog))) == []
    (extension,) = catalog["extensions"]
    (release,) = extension["releases"]
    assert extension["homepage"] == HOME
    assert release["name"] == "v1.2.0"
    assert release["main_url"] == f"{URL}/qupath-extension-hemalum-1.2.0.jar"
    assert release["javadoc_urls"] == [f"{URL}/qupath-extension-hemalum-1.2.0-javadoc.jar"]


def test_a_candidate_is_named_as_qupath_does():
    catalog = catalog_of("1.2.0rc1", f"{HOME}/releases/download/v1.2.0-rc1")
    assert catalog["extensions"][0]["releases"][0]["name"] == "v1.2.0-rc1"
    assert catalog_faults(catalog) == []


@pytest.mark.parametrize("url", ["", "https://files.example.org/hemalum"])
def test_without_an_address_on_github_there_is_none(url: str):
    assert catalog_of("1.2.0", check_url(url, "1.2.0")) is None


def test_earlier_releases_stay_and_a_release_is_listed_once(catalog: dict):
    later = catalog_of("1.3.0", f"{HOME}/releases/download/v1.3.0", catalog)
    again = catalog_of("1.3.0", f"{HOME}/releases/download/v1.3.0", later)
    assert [release["name"] for release in again["extensions"][0]["releases"]] == ["v1.3.0", "v1.2.0"]
    assert catalog_faults(again) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "1.2.0"),
        ("name", "v1.2"),
        ("main_url", "https://example.org/extension.jar"),
        ("main_url", URL.replace("https", "http") + "/extension.jar"),
        ("javadoc_urls", ["https://example.org/javadoc.jar"]),
        ("version_range", {"max": "v0.7.0"}),
        ("version_range", {"min": "0.6.0"}),
        ("version_range", {"min": "v0.7.0", "max": "v0.6.0"}),
        ("version_range", {"min": "v0.7.0", "max": "v0.7.0-rc2"}),
        ("jar", "unknown"),
    ],
)
def test_what_qupath_refuses_is_a_fault(catalog: dict, field: str, value: object):
    changed = copy.deepcopy(catalog)
    changed["extensions"][0]["releases"][0][field] = value
    assert catalog_faults(changed)


@pytest.mark.parametrize("field", ["name", "description", "author", "homepage", "releases"])
def test_what_qupath_needs_may_not_be_missing(catalog: dict, field: str):
    del catalog["extensions"][0][field]
    assert catalog_faults(catalog)


def test_addresses():
    assert check_url(f" {URL}/ ", "1.2.0") == URL
    with pytest.raises(ReleaseFailure, match="not encrypted; give the https address"):
        check_url("http://files.example.org", "1.2.0")
    for wrong in (f"{HOME}/releases/download/v1.1.0", HOME, f"{HOME}/releases/tag/v1.2.0"):
        with pytest.raises(ReleaseFailure, match="not where GitHub keeps version"):
            check_url(wrong, "1.2.0")
