"""One colour per model size and one marker per patch size, the same in every figure, and their legend.

Colours run from light to dark with size, so that their order survives grey print and colour blindness (tested).
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerBase
from matplotlib.lines import Line2D
from matplotlib.text import Text

Item = TypeVar("Item")

_SIZES = {"S": "#f0a52e", "B": "#e0573f", "L": "#932b80", "XL": "#1b1f5e"}
_OTHER_SIZES = ("#f0a52e", "#e8793a", "#e0573f", "#bc3f62", "#932b80", "#5a2672", "#1b1f5e")
_PATCHES = {8: "s", 4: "^", 2: "o"}
_OTHER_PATCHES = ("D", "v", "P", "X", "h")


def size_colours(sizes: Sequence[str]) -> dict[str, str]:
    """A colour for each size, given from smallest to largest; S, B, L and XL always have their own."""
    if set(sizes) <= set(_SIZES):
        return {size: _SIZES[size] for size in sizes}
    last = len(_OTHER_SIZES) - 1
    return {size: _OTHER_SIZES[round(i * last / max(len(sizes) - 1, 1))] for i, size in enumerate(sizes)}


def patch_marker(patch: int) -> str:
    """The marker of a patch size: square 8, triangle 4, circle 2, others from a fixed list."""
    return _PATCHES.get(patch, _OTHER_PATCHES[int(patch) % len(_OTHER_PATCHES)])


def patch_dashes(patch: int) -> Any:
    """The line style of a patch size, for figures where lines of one colour meet."""
    return {2: "solid", 4: (0, (5.0, 1.6)), 8: (0, (1.4, 1.4))}.get(patch, (0, (6.0, 1.5, 1.2, 1.5)))


MANY = 8
"""More sizes than this are shown by this many of them, evenly chosen: a longer legend would crowd out the data."""


def few(items: Sequence[Item], most: int = MANY) -> list[Item]:
    """The items, or `most` of them from first to last, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def size_handles(sizes: Sequence[str], lines: bool = False) -> list[Artist]:
    """Legend entries of sizes: coloured dots, or lines; of many sizes, a few."""
    colours = size_colours(sizes)
    look: dict[str, Any] = {"lw": 2.2} if lines else {"ls": "none", "marker": "o", "ms": 7, "mec": "white", "mew": 0.5}
    return [Line2D([], [], color=colours[size], label=size, **look) for size in few(sizes)]


def patch_handles(patches: Iterable[int], lines: bool = False) -> list[Artist]:
    """Legend entries of patch sizes: grey markers, or dashed lines."""
    handles: list[Artist] = []
    for patch in filter(None, patches):  # a trainer of one's own has none
        dashed: dict[str, Any] = {"ls": patch_dashes(patch), "lw": 1.8}
        dotted: dict[str, Any] = {"ls": "none", "marker": patch_marker(patch), "ms": 6.5, "mec": "white", "mew": 0.5}
        handles.append(Line2D([], [], color="#777777", label=f"{patch}", **(dashed if lines else dotted)))
    return handles


class _Title(Line2D):
    """A legend entry that is only a bold heading, set at the left edge where the handles are."""


class _TitleHandler(HandlerBase):
    def create_artists(self, *args: Any) -> list[Artist]:
        _, orig_handle, xdescent, _, _, _, fontsize, trans = args
        return [Text(-xdescent, 0, orig_handle.get_gid(), fontsize=fontsize, fontweight="bold", transform=trans)]


def legends(figure: Figure, groups: Sequence[tuple[str, list[Artist]]]) -> None:
    """Titled legends in one column right of the axes."""
    handles: list[Artist] = []
    for title, entries in groups:
        if not entries:
            continue
        gap = [Line2D([], [], ls="none", label=" ")] if handles else []
        handles += [*gap, _Title([], [], label=" " * len(title), gid=title), *entries]
    look: dict[str, Any] = {"handlelength": 2.0, "labelspacing": 0.45, "handler_map": {_Title: _TitleHandler()}}
    figure.legend(handles=handles, loc="outside right upper", **look)
