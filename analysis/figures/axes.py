"""Axis labels and ticks that several figures share, with units in the words."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

GMACS = "GMACs per forward pass of one image (the paper's Gflops)"
TRAIN_GMACS = "training compute, GMACs (the paper's Gflops: forward × batch × steps × 3)"
SAMPLE_GMACS = "sampling compute of one image, GMACs (forward × sampler steps)"


def plain_ticks(ax: Axes, log_y: bool) -> None:
    """Ticks of a logarithmic y axis as plain numbers at 1, 2 and 5; a reader thinks in distances, not powers."""
    if log_y:
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())


def log_x(ax: Axes) -> None:
    """A logarithmic x axis whose labels stay apart and are two at least: powers of ten, or 1 and 3, or 1, 2, 5.

    Call it when everything is drawn: it looks at the range.
    """
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_minor_formatter(NullFormatter())
    if high / low < 30:
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:  # one power of ten, which alone says no scale
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    first = round(value / 10**exponent)
    return f"$10^{{{exponent}}}$" if first == 1 else f"${first}\\cdot 10^{{{exponent}}}$"


def step_ticks(ax: Axes) -> None:
    """A few ticks of training steps from 0, as 500, 1.5k, 400k."""
    ax.margins(x=0.04)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
