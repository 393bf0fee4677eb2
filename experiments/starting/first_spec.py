"""The files of a first spec, by what it starts from, and how they are written: all of them new, or none.

The texts are in `templates`, one a kind; `$name` in them is filled from what lies at the source.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_folder import list_images
from dit_grid.experiments.starting.tables import TableError, numbers_in

TEMPLATES = Path(__file__).with_name("templates")
SCHEMA = "spec.schema.json"
"""Beside the spec, so that an editor without a network finds it."""

MOST_HELDOUT, HELDOUT_SHARE = 1000, 10
"""Of a folder's images one in ten is measured on, at most a thousand."""
LARGEST_BATCH = 64


class StartError(ValueError):
    """Why no first spec can be written, in one line for the user."""


def first_files(kind: str, source: str | None, spec: Path | None) -> dict[Path, str]:
    """Path -> text of the spec and what stands beside it; without a path the spec is named like what it starts from.

    Raises StartError where `source` is missing, not wanted, or not what the kind reads.
    """
    if kind in NEEDS and source is None:
        raise StartError(f"--from {kind} needs {NEEDS[kind]}: dit-grid init --from {kind} {NEEDS[kind].split()[0]}")
    if kind not in NEEDS and source is not None:
        raise StartError(f"got {source}; --from {kind} starts from nothing of yours, leave it out")
    name = _name(source or kind)
    spec = spec or Path(f"{name}.yaml")
    facts = KINDS[kind](source or "", spec.parent)
    text = _filled(f"{kind}.yaml", {"name": name, "file": spec.name, "schema": SCHEMA, **facts})
    trainer = TEMPLATES / f"{kind}_net.txt"
    beside = {spec.parent / f"{kind}_net.py": trainer.read_text("utf-8")} if trainer.is_file() else {}
    return {spec: text} | beside


def write_new(files: Mapping[Path, str], schema: str) -> list[Path]:
    """Write the files, none of which may be there, and the schema where none is; return what was written.

    Raises StartError, with nothing written, where one is there or its folder is not.
    """
    for path in files:
        if path.exists():
            raise StartError(f"{path} is there already and is left as it is; name another file with -o")
        if not path.parent.is_dir():
            raise StartError(f"{path}: no such folder as {path.parent}; make it first")
    beside = next(iter(files)).with_name(SCHEMA)
    wanted = {**files, **({} if beside.exists() else {beside: schema})}
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    return list(wanted)


def _filled(template: str, facts: Mapping[str, str]) -> str:
    return Template((TEMPLATES / template).read_text("utf-8")).substitute(facts)


def _name(source: str) -> str:
    """A name for the experiment: the file's or folder's, of letters that a name may have."""
    stem = Path(source).resolve().stem if os.sep in source or Path(source).exists() else Path(source).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80] or "mine"


def _digits(source: str, folder: Path) -> dict[str, str]:
    return {}


def _images(source: str, folder: Path) -> dict[str, str]:
    try:
        found = list_images(Path(source))
    except (DataError, OSError) as error:
        raise StartError(str(error)) from None
    many = len(found.files)
    if many < 2:
        raise StartError(f"{source}: {many} image; one has to be kept for measuring and one to train on")
    heldout = min(max(many // HELDOUT_SHARE, 1), MOST_HELDOUT)
    batch = 2 ** (min(LARGEST_BATCH, many - heldout).bit_length() - 1)
    return {"path": _text(source), "images": f"{many:,}", "classes": str(len(found.class_names)),
            "heldout": str(heldout), "batch": str(batch)}  # fmt: skip


def _csv(source: str, folder: Path) -> dict[str, str]:
    try:
        columns, rows = numbers_in(Path(source))
    except TableError as error:
        raise StartError(str(error)) from None
    inputs, target = columns[:-1], columns[-1]
    return {
        "table": _text(os.path.relpath(source, folder)), "rows": f"{rows:,}", "target": _text(target),
        "inputs": str(len(inputs)), "columns": f"[{', '.join(map(_text, inputs))}]",
        "batch": str(min(LARGEST_BATCH, rows)),
    }  # fmt: skip


def _text(value: str) -> str:
    """A text as YAML reads it back, whatever is in it."""
    import json

    return value if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value not in RESERVED else json.dumps(value)


RESERVED = ("true", "false", "null", "yes", "no", "on", "off", "True", "False", "Null", "None")
"""Words that YAML has for something else."""

KINDS: dict[str, Callable[[str, Path], dict[str, str]]] = {
    "digits": _digits, "images": _images, "csv": _csv, "torch": _digits,
}  # fmt: skip
"""What a first spec may start from, and what looks at the source."""
NEEDS = {"images": "FOLDER of images, FOLDER/CLASS/IMAGE", "csv": "FILE of numbers, the last column to be predicted"}
