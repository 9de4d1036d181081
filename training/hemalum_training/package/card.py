"""What a trained model's card says: what it learned from, and on which terms its weights can be had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from hemalum_training.config.config import OPEN_LICENCES, Config
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.data.pseudo_store import load_pseudo, teacher_of, unlabelled_tiles


def pseudo_data(config: Config, out: Path) -> list[dict]:
    """The unlabelled sets whose kept tiles were learned from, as a card names them."""
    if config.pseudo is None:
        return []
    kept = [tile.name for tile in load_pseudo(out)]
    counts = {}
    for name in config.unlabelled:
        counts[name] = sum(tile.startswith(f"{name}-") for tile in kept)
    use = f"pseudo labels by {teacher_of(out)}, rule {config.pseudo.rule}"
    return _entries(config, counts, use)


def cycle_data(config: Config, out: Path) -> list[dict]:
    """The unlabelled sets whose tiles a cycle training saw without their labels, as a card names them.

    See `pools.load_pools`.
    """
    if config.method is None or config.pseudo is None:
        return []
    counts = Counter(tile.set for tile in unlabelled_tiles(out))
    return _entries(config, counts, "tiles without labels, GAN and cycle losses")


def _entries(config: Config, counts: Mapping[str, int], use: str) -> list[dict]:
    entries = []
    for name, entry in config.unlabelled.items():
        if counts[name]:
            entries.append({"name": name, "licence": entry.licence, "images": counts[name], "use": use})
    return entries


def licence_of(licences: Collection[str], initial: dict | None = None) -> dict:
    """Terms of weights that learned from images under these licences.

    `initial`: terms of the weights that the training began from (a card's `licence`).

    >>> licence_of({"CC0", "CC BY 4.0"})["weights"], licence_of({"of our clinic"})["weights"]
    ('Apache-2.0', 'not stated')
    >>> licence_of({"CC0", "CC BY-NC 4.0"})["commercial"]
    False
    """
    if any("NC" in licence for licence in licences):
        why = "learned also from images that allow no commercial use, so the weights are offered on the same terms"
        return {"weights": "CC-BY-NC-SA-4.0", "commercial": False, "why": why}
    if others := sorted(set(licences) - set(OPEN_LICENCES)):
        return {"weights": "not stated", "commercial": False,
                "why": f"learned also from images under “{', '.join(others)}”; whoever they belong to decides"}
    if initial and not initial.get("commercial", True):
        return {**initial, "why": f"begun from weights under these terms, which {initial['why']}"}
    why = "learned only from images under CC0, CC BY 4.0 and Apache-2.0"
    return {"weights": "Apache-2.0", "commercial": True, "why": why}


def counts_by_set(config: Config, images: Collection[LabelledImage]) -> dict[str, int]:
    """How many images of each labelled set are among these."""
    counts = Counter(image.name.split("/")[0] for image in images)
    return {name: counts[name] for name in config.sets}


def card_of(config: Config, counts: dict[str, int], pseudo: list[dict], initial: dict | None = None) -> dict:
    """A card's fields but thresholds, scores and files.

    Args:
        counts: images by set.  pseudo: what `pseudo_data` and `cycle_data` say.  initial: what the training noted of
            the weights begun from (`checkpoint.note_initial`).
    """
    licences = {entry.licence for entry in [*config.sets.values(), *config.unlabelled.values()]}
    licence = licence_of(licences, initial and initial.get("licence"))
    data = []
    if initial or config.initial:
        data.append({"name": initial["name"] if initial else f"model {config.initial}", "use": "initial weights"})
    for name, entry in config.sets.items():
        data.append({"name": name, "licence": entry.licence, "images": counts[name], "use": "training"})
    return {
        "id": config.name,
        "description": "Nuclei in H&E, many tissues, about 20× and finer.",
        "licence": licence,
        "data": data + pseudo,
        "version": config.version,
        "rebuild": config.rebuild or f"hemalum train all training/configs/{config.name}.toml --data DIR",
    }
