"""The hosted CI's workflow: syntax, the graph of its jobs, and that what it calls is there."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from release.platforms import PYTHONS, chosen

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict:
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def needs(job: dict) -> list[str]:
    named = job.get("needs", [])
    return [named] if isinstance(named, str) else named


def commands(workflow: dict) -> list[str]:
    found: list[str] = []
    for job in workflow["jobs"].values():
        found += [step["run"] for step in job["steps"] if "run" in step]
    return found


def test_its_keys(workflow: dict):
    assert (
        set(workflow) <= {"name", True, "permissions", "env", "jobs"} and True in workflow
    )  # `on` is a YAML 1.1 boolean
    for job in workflow["jobs"].values():
        assert set(job) <= {"if", "needs", "runs-on", "strategy", "permissions", "env", "steps"}
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))


def test_jobs_wait_for_jobs_that_exist_and_for_no_circle(workflow: dict):
    jobs = workflow["jobs"]
    order = list(TopologicalSorter({name: needs(job) for name, job in jobs.items()}).static_order())
    assert set(order) == set(jobs)


def test_every_make_target_exists(workflow: dict):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands(workflow):
        if target := re.match(r"make (\S+)", command):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), command


def test_three_systems_are_tested_before_a_release():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    systems = {jobs["linux"]["runs-on"], *jobs["elsewhere"]["strategy"]["matrix"]["os"]}
    assert {name.partition("-")[0] for name in systems} == {"ubuntu", "windows", "macos"}
    assert set(jobs["elsewhere"]["strategy"]["matrix"]["python"]) <= set(PYTHONS)
    assert set(needs(jobs["release"])) == {"linux", "elsewhere"}
    (build,) = [command for command in commands(workflow) if command.startswith("make release")]
    options = dict(re.findall(r'(\w+)="([^"]+)"', build))
    assert len(chosen(options["PLATFORMS"], options["PYTHONS"])) == 12
