"""Sentences for a person, broken between words where a terminal ends; never a path or a command, which are copied.

Tables are `rows`. Mistakes are one line each (`cli`), which a terminal breaks and a copy does not.
"""

import os
import re
import sys
from textwrap import fill
from typing import TextIO

import click

COMMAND = re.compile(r"`[^`]*`|(?<!\S)plan: \{.*\}")
"""What somebody copies: between backticks, or settings for a spec."""

PERCENT = re.compile(r"(?<=\d) (?=%)")
"""The blank between a number and its percent sign."""


def print_text(text: str, inset: int | None = None, err: bool = False) -> None:
    """Print text; on a terminal its long lines are broken between words, and no command is.

    What follows is set in by `inset`, else by two more than the line. With `err` it goes to standard error.
    """
    width = _width(sys.stderr if err else sys.stdout)
    lines = [
        line if width is None or len(line) <= width else _wrapped(line, width, inset) for line in text.splitlines()
    ]
    click.echo("\n".join(lines), err=err)


def _width(stream: TextIO) -> int | None:
    """How many characters a line of the stream has: as COLUMNS says, or its terminal; None of a pipe."""
    if (said := os.environ.get("COLUMNS", "")).isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # no terminal, or a stream of a notebook or a test, which is no file
        return None


def _wrapped(line: str, width: int, inset: int | None) -> str:
    """The line broken where it may be; a line that is a command alone is left to the terminal, which breaks no copy."""
    indent = line[: len(line) - len(line.lstrip())]
    if indent and line.lstrip().startswith(("dit-grid ", "python ")):
        return line
    whole = PERCENT.sub("\0", COMMAND.sub(lambda found: found[0].replace(" ", "\0"), line))
    following = " " * (len(indent) + 2 if inset is None else inset)
    broken = fill(whole, width, subsequent_indent=following, break_on_hyphens=False, break_long_words=False)
    return broken.replace("\0", " ")
