"""What commands share: options of the same name and meaning, exit statuses, and the store that WHERE names."""

import click

DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; 130 is the shell's for a program ended by Ctrl-C."""

SPEC = click.argument("spec", type=click.Path(dir_okay=False))
WHERE = click.argument("where", required=False)
OLD_WHERE = click.option("--where", metavar="WHERE", hidden=True, help="WHERE by another name, as scripts have it.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program instead of a table.")
GROUPS = click.option("--group", "groups", multiple=True, help="Add a group of extra runs that the spec defines.")


def store_named(where: str | None) -> str:
    """The store that WHERE names: a spec, a store, a gs:// URL, or without one the newest store here."""
    from dit_grid.orchestrator.commands.where import store_of  # reads YAML

    return store_of(where)
