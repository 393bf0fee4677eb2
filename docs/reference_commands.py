"""The page of reference of every command, its arguments and options, from the command line itself.

What is said of a command is its `--help`; nothing of it is written here. `write_reference.py` writes the page.
"""

import inspect
import re
from collections.abc import Iterator

import click

from dit_grid.orchestrator.commands.cli import cli

HEAD = """# Every command

Made from the command line by `python docs/write_reference.py`; a test fails when it is stale. `dit-grid COMMAND --help`
prints the same. WHERE is a spec, a store, or a `gs://` URL; without it the newest store below the current folder is
meant. RUN is an id, a model such as XL/2, or a pattern of either.

Exit status: 0 done, 1 some run failed, 2 the request was wrong, 130 interrupted.
"""


def page() -> str:
    """The page as it stands in `docs/reference/commands.md`."""
    return "\n".join([HEAD, *(_section(path, command) for path, command in commands(cli, "dit-grid"))])


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words, in the order of their names."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def _section(path: str, command: click.Command) -> str:
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    words = [path, *["[OPTIONS]"] * bool(shown), *map(_argument, arguments(command))]
    table = ["| option | what it does |\n|---|---|", *map(_row, shown)] if shown else []
    parts = [f"## {path}\n", f"```text\n{' '.join(words)}\n```\n", *_paragraphs(command.help or ""), "\n".join(table)]
    return "\n".join(parts).rstrip() + "\n"


def arguments(command: click.Command) -> list[click.Argument]:
    """The positional arguments."""
    return [one for one in command.params if isinstance(one, click.Argument)]


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    many = "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return f"{name}{many}" if argument.required or name.startswith("[") else f"[{name}]{many}"


def _paragraphs(text: str) -> Iterator[str]:
    """The help as Markdown: what click keeps line by line, after a `\\b`, is code."""
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if block.startswith("\b\n"):
            yield f"```sh\n{block[2:]}\n```\n"
        else:
            yield _plain(" ".join(block.split())) + "\n"


def _row(option: click.Option) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    shown = f"`{names}{'' if option.is_flag else ' ' + _value(option)}`".replace("|", "\\|")
    notes = [*_choices(option), *["needed"] * option.required, *["may be given several times"] * option.multiple]
    notes += _default(option)
    said = _plain(" ".join((option.help or "").split()))
    return f"| {shown} | {said} ({'; '.join(notes)}) |" if notes else f"| {shown} | {said} |"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar.replace("|", " or ")  # a bar would end a table's cell
    if isinstance(option.type, click.Choice):
        return "WORD"
    words = {"integer range": "NUMBER", "integer": "NUMBER", "float": "NUMBER", "float range": "NUMBER", "text": "TEXT"}
    one = words.get(option.type.name, option.type.name.upper())
    return " ".join([one] * max(option.nargs, 1))


def _choices(option: click.Option) -> list[str]:
    """What may stand there; bars between the words would end a table's cell."""
    return [", ".join(f"`{one}`" for one in option.type.choices)] if isinstance(option.type, click.Choice) else []


def _default(option: click.Option) -> list[str]:
    return [f"default {option.default}"] if option.show_default and option.default is not None else []


def _plain(text: str) -> str:
    """Text whose stars, bars and angles are none of Markdown's; what stands in backticks is left alone."""
    parts = re.split(r"(`[^`]*`)", text)
    kept = [part if part.startswith("`") else re.sub(r"([*_<\[])", r"\\\1", part) for part in parts]
    return "".join(kept).replace("|", "\\|")
