"""The examples in the docstrings of `release` and `handbook`."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "release.source", "release.network", "release.platforms", "handbook.links", "handbook.messages",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(request.config.rootpath)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed
