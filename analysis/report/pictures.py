"""Sample pictures as small PNGs inside the page, each with the class that it was asked to show.

What is here encodes; which pictures there are is `dit_grid.analysis.results.sample_sheets`.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from dit_grid.analysis.figures.samples import mosaic, place_of
from dit_grid.analysis.figures.style import few
from dit_grid.analysis.results.sample_sheets import Sheet

SHOWN = 8
"""Pictures of each model, two rows of four."""

MOST = 8
"""Columns; of more sizes as many evenly chosen ones."""

LARGEST = 96
"""Pixels of a picture's longer side on the page; a larger picture is made smaller."""


def sheets_table(sheets: Mapping[str, Sheet]) -> str:
    """The sheet of all models as in the paper, patches down, sizes across; of models named otherwise a row each."""
    try:
        placed = {place_of(name): sheet for name, sheet in sheets.items()}
    except ValueError:
        rows = [f"<tr><th scope=row>{escape(name)}</th><td>{strip(sheet)}</td></tr>" for name, sheet in sheets.items()]
        return f"<table class=sheet>{''.join(rows)}</table>"
    sizes = few(list(dict.fromkeys(size for size, _ in placed)), MOST)
    head = "".join(f"<th scope=col>{escape(size)}</th>" for size in sizes)
    rows = []
    for patch in sorted({patch for _, patch in placed}, reverse=True):
        cells = "".join(_cell(placed.get((size, patch))) for size in sizes)
        rows.append(f"<tr><th scope=row>patch {patch}</th>{cells}</tr>")
    return f"<table class=sheet><tr><td></td>{head}</tr>{''.join(rows)}</table>"


def _cell(sheet: Sheet | None) -> str:
    return f"<td>{strip(sheet)}</td>" if sheet is not None else "<td class=gap>not yet</td>"


def strip(sheet: Sheet) -> str:
    """The first pictures of a sheet, each over its class where that is known."""
    labels: Sequence[int | str | None] = sheet.class_names or sheet.labels or [None] * len(sheet.pictures)
    shown = zip(sheet.pictures[:SHOWN], labels, strict=False)
    return f"<div class=strip>{''.join(_figure(picture, label) for picture, label in shown)}</div>"


def _figure(picture: np.ndarray, label: int | str | None) -> str:
    name = escape(str(label))
    said = "" if label is None else f'<span title="{name}">{name}</span>'
    alt = "a sample" if label is None else f"a sample of class {name}"
    return f'<div><img alt="{alt}" src="{_uri(picture)}">{said}</div>'


def _uri(picture: np.ndarray) -> str:
    from PIL import Image  # a report without samples needs no codec

    buffer, image = io.BytesIO(), Image.fromarray(mosaic(picture[None], 1, 1))
    image.thumbnail((LARGEST, LARGEST))
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
