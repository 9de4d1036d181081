"""Dataclasses from the tables of a configuration: what is wrong becomes one sentence.

>>> from dataclasses import dataclass
>>> @dataclass
... class Food:
...     legs: int
...     names: list[str]
>>> build(Food, {"legs": "four", "names": []}, "food")
Traceback (most recent call last):
...
hemalum.errors.UsageError: [food] legs = 'four': it must be a whole number.
"""

from __future__ import annotations

import dataclasses
import types
import typing

from hemalum.errors import UsageError

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text in quotation marks",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def build(cls, table, where: str):
    """An instance of the dataclass `cls` from a TOML table.

    Raises:
        UsageError: not a table, an unknown key, a value of another type, or a key that is missing.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where} = {table!r}: it must be a table, [{where}].")
    kinds = typing.get_type_hints(cls)
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(f"unknown key “{key}” in [{where}]; known: {', '.join(sorted(kinds))}.")
        if not _fits(value, kinds[key]):
            raise UsageError(f"[{where}] {key} = {value!r}: it must be {_words(kinds[key])}.")
    fields = dataclasses.fields(cls)
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in table]:
        raise UsageError(f"[{where}] has no {missing[0]}, which it needs; add it.")
    return cls(**table)


def tables(table: dict, name: str) -> dict[str, dict]:
    """The tables [name.…] of a configuration, taken out of it.

    Raises:
        UsageError: `name` is not a table of tables.
    """
    inner = table.pop(name, {})
    if not isinstance(inner, dict):
        raise UsageError(f"{name} = {inner!r}: write tables [{name}.NAME].")
    return inner


def demand(where: str, *rules: tuple[bool, str]) -> None:
    """Refuse the table `where` by the sentence of the first rule that does not hold."""
    for holds, sentence in rules:
        if not holds:
            raise UsageError(f"[{where}]: {sentence}.")


def _fits(value, kind) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(kind))
    if origin is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(kind)[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _words(kind) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if typing.get_origin(kind) is list and typing.get_args(kind)[0] in WORDS:
        return f"a list, each {WORDS[typing.get_args(kind)[0]]}"
    return WORDS.get(typing.get_origin(kind) or kind, "a table")
