"""`python -m release`: everything that can be wrong is looked at first, then `dist/` is built anew."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from release.catalog import catalog_faults, catalog_of, check_url
from release.contents import CONTENTS, SUMS, sha256, write_contents, write_sums
from release.extension import build_extension, find_jdk
from release.failure import ReleaseFailure
from release.packages import build_packages
from release.platforms import ALL, PYTHONS, chosen
from release.source import check_releasable, commit_seconds, export, notes_of, version_of
from release.trial import suits, try_out
from release.wheelhouses import build_wheelhouse

ROOT = Path(__file__).resolve().parents[1]


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m release", description="Builds everything a release consists of.")
    names = " ".join(system.name for system in ALL)
    parser.add_argument(
        "--platforms", default="", metavar="NAMES", help=f"wheelhouses for: {names} (default: this machine's)"
    )
    parser.add_argument("--pythons", default="", metavar="VERSIONS", help=f"{' '.join(PYTHONS)} (default: this one)")
    parser.add_argument(
        "--url", default="", help="https address of the folder the files will lie in (default: none is known)"
    )
    parser.add_argument("--without-extension", action="store_true", help="no jar, no catalog")
    parser.add_argument(
        "-o", "--output", type=Path, default=ROOT / "dist", metavar="DIR", help="made anew (default: dist)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    asked = options(arguments)
    try:
        build(asked)
    except ReleaseFailure as failure:
        print(failure, file=sys.stderr)
        return 2
    return 0


def build(asked: argparse.Namespace) -> None:
    """Builds the folder beside its place and puts it there when it is whole."""
    version = version_of(ROOT)
    notes = notes_of(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    url = check_url(asked.url, version)
    pairs = chosen(asked.platforms, asked.pythons)
    if asked.output.exists() and any(asked.output.iterdir()) and not (asked.output / SUMS).exists():
        raise ReleaseFailure(
            f"{asked.output} holds something else than a release; empty it, or name another folder with -o"
        )
    if not asked.without_extension:
        find_jdk(ROOT)
    check_releasable(ROOT, version)
    seconds = commit_seconds(ROOT)
    with tempfile.TemporaryDirectory(prefix="hemalum-release-") as temporary:
        work = Path(temporary)
        dist = work / "dist"
        dist.mkdir()
        source = export(ROOT, work)
        say(f"Hemalum {version}: wheel and sdist …")
        wheel, _ = build_packages(source, dist, seconds)
        sums = {}
        for system, python in pairs:
            say(f"wheelhouse for {system.people}, Python {python} …")
            archive = build_wheelhouse(wheel, version, system, python, dist, work, seconds)
            sums[archive.name] = sha256(archive)
            if suits(system, python):
                say("installed without an index, hemalum demo …")
                try_out(archive, version, work)
        if not asked.without_extension:
            say("extension …")
            build_extension(source, dist, version, seconds, url, sums)
            write_catalog(dist, version, url)
        (dist / "RELEASE-NOTES.md").write_text(notes + "\n", encoding="utf-8")
        write_contents(dist, version)
        write_sums(dist)
        shutil.rmtree(asked.output, ignore_errors=True)
        shutil.copytree(dist, asked.output)
    print((asked.output / CONTENTS).read_text(encoding="utf-8"))


def write_catalog(dist: Path, version: str, url: str) -> None:
    """Adds the release to the catalog at the repository's root, if one is published there."""
    published = ROOT / "catalog.json"
    earlier = json.loads(published.read_text(encoding="utf-8")) if published.exists() else None
    catalog = catalog_of(version, url, earlier)
    if catalog is None:
        say("no catalog.json: QuPath's catalogs hold addresses on github.com; name the release's with RELEASE_URL=…")
        return
    if faults := catalog_faults(catalog):
        raise ReleaseFailure(f"QuPath would refuse the catalog: {faults[0]}; look at {published}")
    (dist / "catalog.json").write_text(json.dumps(catalog, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
