"""Pages made from the code, the navigation, and links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from handbook import commands, links, messages, modules, wire

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](there.md)", None),
        ("[a](there.md#some-heading)", None),
        ("[a](there.md#a--b)", None),
        ("[a](#own)\n\n# Own", None),
        ("[a](https://example.org/x)", None),
        ("`[a](nowhere.md)`", None),
        ("```\n[a](nowhere.md)\n```", None),
        ("[a](nowhere.md)", "does not exist"),
        ("![a](nowhere.png)", "does not exist"),
        ("| a |\n|---|\n| [a](nowhere.md) |", "does not exist"),
        ("[a](there.md#other)", "no such heading"),
        ("[a](#other)", "no such heading"),
        ("[a](../../outside.md)", "outside the repository"),
    ],
)
def test_links(tmp_path: Path, text: str, fault: str | None):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("# Some heading\n\n## A & B\n", encoding="utf-8")
    (tmp_path / "docs" / "page.md").write_text(text, encoding="utf-8")
    found = links.faults(tmp_path)
    assert bool(found) == bool(fault)
    if fault:
        assert found[0].startswith("docs/page.md:") and fault in found[0]


def test_every_rpc_and_message_is_described():
    page = wire.page(ROOT / "proto")
    text = (ROOT / "proto" / wire.CONTRACT).read_text(encoding="utf-8")
    for name in re.findall(r"^ *(?:rpc|message|enum) (\w+)", text, re.MULTILINE):
        assert re.search(rf"^### (\w+\.)*{name}$", page, re.MULTILINE), name
    headings = {slug for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE) for slug in links.slugs(heading)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings


def test_every_class_of_errors_is_listed():
    page = messages.page(ROOT)
    for kind in messages.classes():
        assert kind.__name__ in page
    said = messages.sentences(ROOT)
    assert sum(map(len, said.values())) > 100
    assert "there is no tile …; the plan has …" in said["ProtocolError"]


def test_sentences_of_the_extension():
    assert any("is under way" in sentence for sentence in messages.extension(ROOT))


def test_every_command_is_listed():
    page = commands.page()
    for name in ("hemalum", "hemalum segment", "hemalum job resume", "hemalum models install", "hemalum improve"):
        assert f"\n## {name}\n" in page


def test_every_module_has_a_page():
    pages = modules.pages(ROOT)
    for name in ("hemalum.slides", "hemalum.nuclei.settle", "hemalum.errors", "hemalum_training.loops.losses"):
        assert any(f"::: {name}\n" in page for page in pages.values()), name
    for page in pages.values():
        for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE):
            assert importlib.util.find_spec(name.partition(".")[0])


def test_the_navigation_holds_every_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named: set[str] = set()
    for section in yaml.safe_load(text)["nav"]:
        for entries in section.values():
            named.update(entries)
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    made = {"reference/commands.md", "reference/rpc.md", "reference/messages.md", "changelog.md", "PYTHON"}
    assert named == written | made
