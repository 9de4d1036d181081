"""Texts that came from elsewhere, so that they can be kept, logged and sent on.

>>> text("QuPath\\n2026-01-01 ERROR forged")
'QuPath 2026-01-01 ERROR forged'
"""

from __future__ import annotations

LONGEST = 200  # characters of a client's text that are kept or logged
MESSAGE_BYTES = 4096  # of a status sentence as it travels; more than 8 KiB of metadata are not delivered


def text(value: str, longest: int = LONGEST) -> str:
    """`value` in one line of at most `longest` characters: what cannot be printed becomes a space, the rest is cut.

    >>> text("x" * 500, 5), text("a\\u2028b\\x1b[31m")
    ('xxxx…', 'a b [31m')
    """
    short = value[: longest + 1]
    plain = "".join(letter if letter.isprintable() else " " for letter in short)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def deliverable(sentence: str) -> str:
    """`sentence` in one line that fits into the metadata of an answer, where other than ASCII takes three bytes a byte.

    >>> len(deliverable("ä" * 10_000))
    682
    """
    plain = text(sentence, MESSAGE_BYTES)
    sizes = (1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode("utf-8")) for letter in plain)
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > MESSAGE_BYTES:
            return plain[: number - 1] + "…"
    return plain
