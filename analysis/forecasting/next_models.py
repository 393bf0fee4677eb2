"""Models beyond a grid that was run: the size that follows its largest, and its sizes at patch sizes that it has not.

What they would reach is `prediction`, what they would teach `design`, what they cost in hours and money the planner's.
"""

from collections.abc import Collection, Iterable

import pandas as pd

from dit_grid.analysis.forecasting.candidates import UnknownModelError, named_models
from dit_grid.analysis.results.frames import Results
from dit_grid.model.config import SIZES

MOST_GROWTH = 2.0
"""Of width and of depth from one size to the next; a ladder that jumps further is followed no further than that."""

Shape = tuple[int, int, int]


def next_sizes(results: Results, models: Collection[str]) -> list[str]:
    """Names for `named_models` of the size after the largest of these models, at each of their patch sizes.

    Empty where their networks are not known, as of trainers of one's own.
    """
    runs = _networks(results, models)
    if runs.empty:
        return []
    shape = following(_ladder(runs))
    return _possible((_name(shape, patch) for patch in sorted(set(runs["patch"]), reverse=True)), results)


def new_models(results: Results, models: Collection[str]) -> list[str]:
    """Names of models that none of these is: the next sizes, and each size at the patch sizes between and one finer."""
    runs = _networks(results, models)
    sizes = dict.fromkeys(runs.sort_values("params")["size"])
    names = [f"{size}/{patch}" for patch in _other_patches(runs) for size in sizes]
    return [*next_sizes(results, models), *_possible(names, results)]


def following(ladder: list[Shape]) -> Shape:
    """Return (width, depth, heads) after the last of a ladder: grown as that grew over the one before, heads as wide.

    From a single size on, width and depth double.
    """
    width, depth, heads = ladder[-1]
    before = ladder[-2] if len(ladder) > 1 else (width / MOST_GROWTH, depth / MOST_GROWTH, heads)
    wider, deeper = (min(max(one / two, 1.0), MOST_GROWTH) for one, two in zip((width, depth), before, strict=False))
    grown = round(heads * wider), round(depth * deeper)
    return (width // heads * grown[0], grown[1] + (grown == (heads, depth)), grown[0])


def _networks(results: Results, models: Collection[str]) -> pd.DataFrame:
    """A row a model whose network is known; a size whose shape nobody said is the paper's, as in `named_models`."""
    runs = results.runs[results.runs["model"].isin(models)].drop_duplicates("model")
    for name in ("width", "depth", "heads"):
        papers = runs["size"].map({size: getattr(shape, name) for size, shape in SIZES.items()})
        runs = runs.assign(**{name: runs[name].fillna(papers)})
    return runs.dropna(subset=["width", "depth", "heads", "patch", "image_size"])


def _ladder(runs: pd.DataFrame) -> list[Shape]:
    """The shapes by the parameters of their blocks, which grow as width² x depth."""
    shapes = {(int(w), int(d), int(h)) for w, d, h in runs[["width", "depth", "heads"]].to_numpy()}
    return sorted(shapes, key=lambda shape: (shape[0] ** 2 * shape[1], shape))


def _other_patches(runs: pd.DataFrame) -> list[int]:
    """Patch sizes that divide the image, from the coarsest of the runs' to half of their finest, and are not theirs."""
    if runs.empty:
        return []
    there, side = {int(patch) for patch in runs["patch"]}, int(runs["image_size"].iloc[0])
    return [p for p in range(max(there), 0, -1) if side % p == 0 and p not in there and 2 * p >= min(there)]


def _name(shape: Shape, patch: int) -> str:
    return f"{'x'.join(map(str, shape))}/{int(patch)}"


def _possible(names: Iterable[str], results: Results) -> list[str]:
    """The names that say a network; of a grown one the width may not suit its position table."""
    found = []
    for name in names:
        try:
            named_models([name], results)
        except UnknownModelError:
            continue
        found.append(name)
    return found
