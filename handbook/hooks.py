"""MkDocs hooks: pages made from the code join those of `docs/`, and nothing of the site is fetched from elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # hooks are loaded by path

from handbook import commands, messages, modules, wire  # noqa: E402

FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//"
)
HARMLESS = re.compile(r"<link\b[^>]*\brel=\"?(?:canonical|edit)")


def generated() -> dict[str, str]:
    """Address in the site → Markdown."""
    return {
        "reference/commands.md": commands.page(),
        "reference/rpc.md": wire.page(ROOT / "proto"),
        "reference/messages.md": messages.page(ROOT),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        **modules.pages(ROOT),
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the pages of the Python API in the navigation, where mkdocs.yml says PYTHON."""
    for section in config.nav or []:
        for entries in section.values():
            if isinstance(entries, list) and "PYTHON" in entries:
                place = entries.index("PYTHON")
                entries[place : place + 1] = [{"Python": modules.addresses(ROOT)}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for address, content in generated().items():
        files.append(File.generated(config, address, content=content))
    return files


def on_post_page(output: str, page, config: MkDocsConfig) -> str:
    """Refuses a page that would load something from another computer."""
    for found in FETCHED.finditer(output):
        if not HARMLESS.match(output, found.start()):
            raise PluginError(
                f"{page.file.src_uri} loads {output[found.start() : found.start() + 200]!r} from elsewhere"
            )
    return output
