"""A chart is a matplotlib Figure that carries the frame it was drawn from; `save` writes picture and data together.

What is here is the frame of every picture: fonts, grid, titles, files. Colours and markers are `style`; what is drawn
is one module per figure. Nothing uses pyplot, so charts hold no global state and are freed when dropped.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

NOTES = 0.2
"""Height of the line of notes, inches."""

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e3e3e3"

RC: Any = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "text.color": INK,
    "svg.hashsalt": "dit-grid",  # the same data give the same bytes
    "svg.fonttype": "path",
    "path.simplify_threshold": 0.5,  # half a pixel; a thousand loss curves draw three times as fast
}


class Chart(Figure):
    """A figure with the `data` it shows, one row per drawn point, and `notes` on what is missing from it."""

    data: pd.DataFrame
    notes: tuple[str, ...]

    def _repr_png_(self) -> bytes:
        """The picture that Jupyter shows."""
        buffer = io.BytesIO()
        with drawing():
            self.savefig(buffer, dpi=110, facecolor="white")
        return buffer.getvalue()


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib with this package's settings, and the caller's settings back afterwards."""
    with matplotlib.rc_context(RC):
        yield


def new_chart(
    width: float, height: float, data: pd.DataFrame, notes: tuple[str, ...] = (), notes_say: str = "Not there yet"
) -> Chart:
    """An empty chart of a size in inches, laid out so that legends and titles never cover the data.

    `notes` stand in a line under everything, after `notes_say`: what a reader would look for and not find.
    """
    chart = Chart(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(chart)
    chart.data, chart.notes = data.reset_index(drop=True), notes
    if notes:
        line = NOTES / height
        engine: Any = chart.get_layout_engine()
        engine.set(rect=(0, line, 1, 1 - line))
        text = f"{notes_say}: {shortened(notes, int(width * 15))}"
        chart.text(0.012, 0.25 * line, text, fontsize=8, color=FAINT, va="bottom", in_layout=False)
    return chart


def x_title(chart: Chart, text: str) -> None:
    """Write the title of the x axis that all panels share, above the line of notes where there is one."""
    # The layout sets this title at the bottom of the page, whatever is there; an empty line of it keeps the notes free.
    chart.supxlabel(text + "\n" if chart.notes else text, fontsize=9)


def shortened(names: Sequence[str], width: int) -> str:
    """The names with commas between, as many as fit in `width` characters, and the number of the rest."""
    shown: list[str] = []
    for name in names:
        if shown and len(", ".join([*shown, name])) > width - 12:
            break
        shown.append(name)
    text = ", ".join(shown)
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return text if len(shown) == len(names) else f"{text} and {len(names) - len(shown)} more"


def headline(ax: Axes, title: str, subtitle: str = "") -> None:
    """A bold title and a fainter line under it, both above the axes at their left edge."""
    ax.set_title(title, loc="left", fontweight="bold", pad=20 if subtitle else 8)
    if subtitle:
        ax.text(0, 1.0, subtitle, transform=ax.transAxes, va="bottom", color=FAINT, fontsize=8.5).set_y(1.015)


@contextmanager
def _laid_out(chart: Chart, dpi: int) -> Iterator[None]:
    """The chart laid out once; while it has an engine, each `savefig` lays out anew and draws twice."""
    engine, own_dpi = chart.get_layout_engine(), chart.dpi
    if engine is None:
        yield
        return
    chart.set_dpi(dpi)
    engine.execute(chart)
    chart.set_dpi(own_dpi)
    chart.set_layout_engine(None)
    try:
        yield
    finally:
        chart.set_layout_engine(engine)


def save(chart: Chart, folder: str | Path, name: str, dpi: int = 160) -> list[Path]:
    """The paths of NAME.png, NAME.svg and NAME.csv, written to `folder` (made when it is not there)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    png, svg, csv = (folder / f"{name}.{end}" for end in ("png", "svg", "csv"))
    with drawing(), _laid_out(chart, dpi):
        chart.savefig(png, dpi=dpi, facecolor="white", metadata={"Software": None})
        chart.savefig(svg, facecolor="white", metadata={"Date": None})
    chart.data.to_csv(csv, index=False)
    return [png, svg, csv]
