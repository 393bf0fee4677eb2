"""The JSON Schema of specs as the package ships it; `schema` makes it."""

from pathlib import Path

FILE = Path(__file__).with_name("schema.json")
"""`python docs/write_reference.py` writes it."""


def shipped_schema() -> str:
    """The schema's text."""
    return FILE.read_text("utf-8")
