"""Sheets of pictures: a row for each class, a column for each noise, with labels, as one PNG.

Drawing the samples is `sampling`; comparing the models of a grid in one figure is the analysis's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 64
"""Least pixels a side of a shown picture; smaller ones are enlarged by whole factors, without smoothing."""

MARGIN, GAP = 6, 2
TEXT, LARGER = 12, 14
INK, PAPER, GRID = (30, 30, 30), (255, 255, 255), (205, 205, 205)


def draw_sheet(images: NDArray[np.uint8], rows: Sequence[str], columns: Sequence[str], caption: str) -> Image.Image:
    """The sheet of images (R, C, H, W, 1 or 3), uint8, with names of its rows and columns and a caption below."""
    R, C, H, W, channels = images.shape
    factor = max(1, -(-CELL // max(H, W)))
    pictures = np.repeat(images, 3, axis=-1) if channels == 1 else images
    pictures = pictures.repeat(factor, axis=2).repeat(factor, axis=3)
    H, W = H * factor, W * factor
    font, larger = ImageFont.load_default(TEXT), ImageFont.load_default(LARGER)
    left = MARGIN * 2 + max((round(font.getlength(name)) for name in rows), default=0)
    top = MARGIN * 2 + TEXT
    lines = _wrapped(caption, larger, C * (W + GAP) + left - MARGIN)
    size = (left + C * (W + GAP) + MARGIN, top + R * (H + GAP) + MARGIN + len(lines) * (LARGER + 4) + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((left, top, left + C * (W + GAP) - GAP - 1, top + R * (H + GAP) - GAP - 1), GRID)
    for c, name in enumerate(columns):
        pen.text((left + c * (W + GAP) + W // 2, MARGIN), name, INK, font, anchor="ma")
    for r, name in enumerate(rows):
        pen.text((left - MARGIN, top + r * (H + GAP) + H // 2), name, INK, font, anchor="rm")
        for c in range(C):
            sheet.paste(Image.fromarray(pictures[r, c]), (left + c * (W + GAP), top + r * (H + GAP)))
    for i, line in enumerate(lines):
        pen.text((MARGIN, top + R * (H + GAP) + MARGIN + i * (LARGER + 4)), line, INK, larger)
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
