"""What several commands share: the output folder, regions, progress, and the way through many inputs.

>>> parse_region("10,20,300,400")
(10, 20, 300, 400)
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hemalum.errors import HemalumError, NotWritable, PartlyFailed, RunLost, UsageError


def writable(folder: Path) -> Path:
    """The folder, made if it is not there; `NotWritable` unless a file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".hemalum-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written ({error.strerror}); choose another folder with -o") from None
    return folder


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """The folder, made if it is not there, and removed again if nothing was written; `NotWritable` unless a file can be
    made in it."""
    if not str(path):
        raise UsageError("the output folder has no name; give one with -o")
    folder = Path(path)
    missing = [parent for parent in (folder, *folder.parents) if not os.path.exists(parent)]
    writable(folder)
    try:
        yield folder
    finally:
        for made in missing:
            try:
                made.rmdir()
            except OSError:
                break  # it holds results


def echo_json(content) -> None:
    """Print JSON in a way that every encoding of standard output holds."""
    plain = (sys.stdout.encoding or "ascii").lower().replace("_", "-") not in ("utf-8", "utf8")
    text = json.dumps(content, indent=1, ensure_ascii=plain)
    # a name that is not UTF-8 has characters that no encoding holds
    click.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def inputs_of(inputs) -> list[Path]:
    """The files that INPUT arguments mean; what of a folder is not taken is said.  Raises `UsageError`."""
    from hemalum.slides import images_in, left_out

    paths = images_in(inputs)
    for sentence in left_out(inputs):
        click.echo(sentence, err=True)
    return paths


def parse_mpp(text: str | None) -> float | None:
    """µm per pixel; `UsageError` where it is no number within 0.05 to 4."""
    from hemalum.grid.tiling import check_mpp

    try:
        return None if text is None else check_mpp(float(text))
    except ValueError:
        raise UsageError(f"--mpp {text!r} is not a number; give µm per pixel, such as 0.25") from None


def parse_region(text: str | None) -> tuple[int, int, int, int] | None:
    """`X,Y,W,H` in level-0 px; `UsageError` where it is not four whole numbers with a positive size."""
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"region {text!r} is not X,Y,W,H; give four whole numbers of full-resolution pixels, such as "
            "1000,2000,512,512"
        ) from None
    if width < 1 or height < 1:
        raise UsageError(f"region {text!r} is empty; width and height must be at least 1")
    return x, y, width, height


def through(paths: list[Path], work: Callable[[Path], bool], noun: str = "inputs") -> None:
    """Call `work` on every input; it returns True when the input is done completely, False when in part.

    Raises:
        RunLost: at once.
        HemalumError: of the only input there is.
        UsageError: none of several could be used.
        PartlyFailed: some failed, or were done in part.
    """
    failed, partly = [], 0
    for path in paths:
        try:
            partly += not work(path)
        except RunLost:
            raise
        except HemalumError as error:
            if len(paths) == 1:
                raise
            failed.append(error)
            click.echo(f"hemalum: {error}", err=True)
    if failed and len(failed) == len(paths):
        raise UsageError(f"none of the {len(paths)} {noun} could be used; the reasons are above")
    if len(paths) == 1 and partly:
        raise PartlyFailed(f"{paths[0].name} is done in part; what is missing is named above and in its run.json")
    if failed or partly:
        raise PartlyFailed(f"{len(failed)} of {len(paths)} {noun} failed, {partly} more in part; the rest is done")


@contextmanager
def shown_progress(name: str, quiet: bool, plain: bool = False) -> Iterator[Callable]:
    """Gives a function that takes `Progress` events: a bar with the time left on a terminal, else a plain line every
    few seconds.

    Args:
        plain: no bar; for several slides at once.
    """
    if quiet:
        yield lambda event: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal and not plain:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("tiles · {task.fields[nuclei]} nuclei ·"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(name, total=None, nuclei=0)
            yield lambda event: bar.update(task, completed=event.done, total=event.total, nuclei=event.nuclei)
        return
    last = time.monotonic()

    def line(event) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 5 or event.done == event.total:
            last = now
            left = event.seconds / max(1, event.done) * (event.total - event.done)
            click.echo(f"{name}: {event.done}/{event.total} tiles, {event.nuclei} nuclei, {left:.0f} s left", err=True)

    yield line
