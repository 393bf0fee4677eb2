"""Counts in words: one place where it is decided that one run is no "1 runs".

Numbers that are measured, with their digits, are written where they are shown.
"""


def counted(count: int, noun: str, many: str = "") -> str:
    """Return the count and the noun, of any count but one in the plural: `noun` with an s, or `many`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def was(count: int) -> str:
    """Return the verb that goes with so many."""
    return "was" if count == 1 else "were"


def has(count: int) -> str:
    """Return the verb of what so many have."""
    return "has" if count == 1 else "have"
