"""The page of reference of a store's tables: every column with type, unit and meaning, from the tables' own records.

`write_reference.py` writes the page; how rows get there and which count is `docs/store.md`.
"""

from dit_grid.experiments.store.records import SCHEMA_VERSION, TABLES, Column, Table

OF = {
    "runs": "One row a run: what was asked for, and what it costs.",
    "train": "One row a logged step of a run.",
    "evals": "One row a measurement, with every setting that can change its value.",
    "events": "What the scheduler saw and did, and why.",
}
"""What a row of each table is."""
TYPES = {"string": "text", "int64": "whole number", "double": "number"}

HEAD = f"""# The tables of a store

Made from the tables' records by `python docs/write_reference.py`; a test fails when it is stale. This is version
{SCHEMA_VERSION} of them. The same descriptions and units are in the metadata of every Parquet file. Any column but
those of the key may be empty, which means not known. [The store](../store.md) says how to read them, each number once.
"""


def page() -> str:
    """The page as it stands in `docs/reference/store-tables.md`."""
    return "\n".join([HEAD, *map(_section, TABLES.values())])


def _section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    head = "| column | type | unit | what it holds |\n|---|---|---|---|"
    return "\n".join([f"## {table.name}\n", f"{OF[table.name]} Key: {key}.\n", head, *map(_row, table.columns), ""])


def _row(column: Column) -> str:
    described = column.description.replace("|", "\\|").replace("*", "\\*")
    since = f" (since version {column.since})" if column.since > 1 else ""
    return f"| `{column.name}` | {TYPES[str(column.type)]} | {column.unit} | {described}{since} |"
