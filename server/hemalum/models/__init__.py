"""Model packages: the card, the folders they are looked for, checking and installing."""

from hemalum.models.card import Card
from hemalum.models.registry import (
    DEFAULT,
    GENERATOR,
    Model,
    check,
    find,
    install,
    list_models,
    search_path,
    user_folder,
)

__all__ = [
    "DEFAULT",
    "GENERATOR",
    "Card",
    "Model",
    "check",
    "find",
    "install",
    "list_models",
    "search_path",
    "user_folder",
]
