"""Samples of every model from the same noise and labels: the paper's Figure 7.

What is here arranges pictures; drawing them from a checkpoint is `dit_grid.experiments`.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from dit_grid.analysis.figures.chart import FAINT, Chart, drawing, new_chart

GAP = 0.06
"""Space between the pictures of one model, as a share of a picture's side."""


def sample_sheet(
    samples: Mapping[str, NDArray[np.floating]], columns: int = 5, rows: int = 2, title: str = ""
) -> Chart:
    """The sheet of samples: rows are patch sizes from coarse to fine, columns sizes as given from small to large.

    Args:
        samples: model name ("XL/2") to pictures (n, H, W, C) in [-1, 1], C 1 (grey) or 3 (RGB); picture i of every
            model must come from the same noise and label. Models may be missing: their place stays empty.
        columns, rows: pictures shown of each model; fewer are shown where there are fewer.

    Raises:
        ValueError: no models, a name without a slash, or an array of another shape.
    """
    if not samples:
        raise ValueError("no samples to show; give at least one model's pictures")
    pictures = {place_of(name): _checked(name, array) for name, array in samples.items()}
    sizes = list(dict.fromkeys(size for size, _ in pictures))
    patches = sorted({patch for _, patch in pictures}, reverse=True)
    data = pd.DataFrame([{"model": f"{s}/{p}", "pictures": len(a)} for (s, p), a in pictures.items()])
    with drawing():
        chart = new_chart(0.3 + 2.4 * len(sizes), 0.3 + 2.4 * rows / columns * len(patches) + 0.35, data)
        chart.set_layout_engine("constrained", wspace=0.05, hspace=0.03)
        axes = chart.subplots(len(patches), len(sizes), squeeze=False)
        for i, patch in enumerate(patches):
            for j, size in enumerate(sizes):
                _cell(axes[i, j], pictures.get((size, patch)), columns, rows)
                axes[0, j].set_title(size, fontweight="bold", fontsize=11)
            axes[i, 0].set_ylabel(f"patch {patch}", fontsize=10)
        chart.supxlabel(title or "every model: the same noise and labels", fontsize=8.5, color=FAINT)
    return chart


def place_of(name: str) -> tuple[str, int]:
    """Size and patch of a model's name; raises ValueError where it is not of the form SIZE/PATCH."""
    size, slash, patch = name.rpartition("/")
    if not slash or not patch.isdigit():
        raise ValueError(f"model {name!r} is not of the form SIZE/PATCH, like XL/2")
    return size, int(patch)


def _checked(name: str, array: NDArray[np.floating]) -> NDArray[np.floating]:
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not len(array):
        raise ValueError(f"{name}: samples of shape {array.shape}; need (n, H, W, 1) or (n, H, W, 3) with n > 0")
    return array


def mosaic(pictures: NDArray[np.floating], columns: int, rows: int) -> NDArray[np.uint8]:
    """One RGB image (H', W', 3) of the first `columns` x `rows` pictures, white between; [-1, 1] becomes 0..255."""
    height, width = pictures.shape[1:3]
    gap = max(1, round(GAP * height))
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for k, picture in enumerate(pictures[: columns * rows]):
        top, left = (k // columns) * (height + gap), (k % columns) * (width + gap)
        grey = np.nan_to_num(np.clip(127.5 * picture + 128, 0, 255), nan=255.0).astype(np.uint8)
        page[top : top + height, left : left + width] = grey
    return page


def _cell(ax: Axes, pictures: NDArray[np.floating] | None, columns: int, rows: int) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if pictures is None:
        ax.text(0.5, 0.5, "not yet", ha="center", va="center", color=FAINT, transform=ax.transAxes)
        return
    ax.imshow(mosaic(pictures, columns, rows), interpolation="nearest")
