"""Every figure looks as it did, and the paper's own points stand beside results of its kind.

Pictures are compared as small grey ones, block by block, so that antialiasing and a shifted pixel pass and a missing
line, another marker size or a moved legend do not. After a change that is meant, look at the new pictures and run
`DIT_GRID_NEW_PICTURES=1 pytest tests/analysis/figures/test_figure_images.py` to keep them.
"""

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from dit_grid.analysis import law
from dit_grid.analysis.figures import Chart, sampling_rows
from dit_grid.analysis.figures.catalog import catalog, drawn
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.results.families import main_family
from dit_grid.analysis.results.frames import NotMeasuredError, assemble

BASELINES = Path(__file__).parents[2] / "golden" / "figures"
DPI, BLOCK = 50, 5
LARGEST, MEAN = 30.0, 0.6
"""Grey levels of 255 by which a block, and the mean of all, may differ. Moving one marker by its width gives 60 and
more; another release of FreeType moves edges by 10 at most."""

pytestmark = pytest.mark.skipif(
    matplotlib.__version_info__ < (3, 11), reason="the pictures kept are matplotlib 3.11's, which places text anew"
)


@pytest.fixture(scope="module")
def whole(planted):
    """A grid with what every figure needs: block designs of XL/2, and three numbers of sampler steps."""
    runs, train, evals, events, _ = planted.tables(noise=0.1, seeds=(0, 1))
    parts, more_runs = [evals], [runs]
    for block, worse in (("in-context", 1.8), ("cross-attention", 1.35), ("adaln", 1.3)):
        like = runs[runs["model"] == "XL/2"].head(1)
        run_id = like["run_id"].iloc[0]
        more_runs.append(like.assign(run_id=f"xl-2-{block}", block=block))
        rows = evals[(evals["run_id"] == run_id) & (evals["metric"] == "fd_conv")]
        parts.append(rows.assign(run_id=f"xl-2-{block}", value=rows["value"] * worse))
    final = evals[(evals["metric"] == "fd_conv") & (evals["step"] == planted.steps)]
    for steps in (4, 8):
        changed = final.assign(sampler_steps=steps, protocol=f"few{steps}", value=final["value"] * (1 + 6 / steps**2))
        parts.append(changed)
    runs = pd.concat(more_runs, ignore_index=True)
    return assemble(runs, train, pd.concat(parts, ignore_index=True), events, dict.fromkeys(runs["run_id"], "done"))


@pytest.fixture(scope="module")
def charts(whole, planted, sweeping):
    shades = np.linspace(-0.9, 0.9, 10)[:, None, None, None] * np.ones((1, 8, 8, 1))
    pictures = {m: np.roll(shades, i, axis=0) for i, m in enumerate(dict.fromkeys(whole.runs["model"]))}
    swept = sweeping.swept(planted, patches=(8, 2), rates=sweeping.FACTOR_2[2:6], rules=("mup", "standard"))
    found = {entry.name: chart for entry, chart in drawn(whole, pictures)}
    return found | {entry.name: chart for entry, chart in drawn(swept, {}, ("sensitivity",))}


def grey(chart: Chart) -> np.ndarray:
    chart.set_dpi(DPI)
    canvas = FigureCanvasAgg(chart)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2)


def blocks(picture: np.ndarray) -> np.ndarray:
    height, width = (side // BLOCK * BLOCK for side in picture.shape)
    return picture[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))


@pytest.mark.parametrize("name", [entry.name for entry in catalog()])
def test_the_figure_looks_as_it_did(charts, name):
    found, path = grey(charts[name]), BASELINES / f"{name}.png"
    if os.environ.get("DIT_GRID_NEW_PICTURES"):
        BASELINES.mkdir(exist_ok=True)
        Image.fromarray(found.astype(np.uint8)).quantize(16).save(path, optimize=True)
    expected = np.asarray(Image.open(path).convert("L"), dtype=float)
    assert found.shape == expected.shape
    apart = np.abs(blocks(found) - blocks(expected))
    assert apart.max() < LARGEST
    assert apart.mean() < MEAN


def test_sampling_compute_takes_settings_that_differ_in_nothing_but_steps(whole, planted):
    rows = sampling_rows(main_family(whole)[0], "fd_conv")
    assert sorted(set(rows["sampler_steps"])) == [4, 8, 25]
    assert rows.groupby("model")["seeds"].max().eq(2).all()
    with pytest.raises(NotMeasuredError, match="two or more numbers of sampler steps"):
        sampling_rows(planted.results(), "fd_conv")


def of(results, *numbers):
    material = Material(results, {})
    return {entry.name: entry.draw(material) for entry in catalog() if entry.number in numbers}


def imagenet(planted):
    """The planted grid as if it were the paper's: FID on latents."""
    runs, train, evals, events, states = planted.tables(noise=0.05)
    runs = runs.assign(image_size=32, channels=4, dataset="imagenet256-latents")
    evals = evals[evals["metric"] == "fd_conv"].assign(metric="fid", samples=50_000)
    guided = evals[evals["run_id"].str.startswith("xl-2") & (evals["step"] == planted.steps)]
    guided = guided.assign(guidance=1.5, protocol="guided", value=guided["value"] / 4)
    return assemble(runs, train, pd.concat([evals, guided], ignore_index=True), events, states)


def test_the_papers_points_are_hollow_beside_own_results_of_its_kind(planted):
    found: dict[str, Any] = of(imagenet(planted), "2", "6", "8", "12 right")
    compute: Any = found["figure08_compute"]
    assert compute.data["source"].value_counts().to_dict() == {"this grid": 12, "the paper": 12}
    bubbles: Any = found["figure02_bubbles"]
    assert set(bubbles.data["panel"]) == {"models", "methods", "models, the paper"}
    assert {"ADM", "LDM-4", "DiT-XL/2-G", "XL/2 here", "XL/2-G here"} <= set(bubbles.data["name"].dropna())
    hollow = [line for ax in found["figure06_steps"].axes for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert len(hollow) == 24  # twelve end points, once by patch and once by size
    assert "sFID, Inception Score, Precision, Recall" in found["figure12_forward_compute"].texts[0].get_text()


def test_runs_of_another_recipe_are_not_seeds(planted):
    """Twelve models under one learning rate and S/8 under another: the second S/8 is left out, not averaged in."""
    runs, train, evals, events, states = planted.tables()
    runs["spec"] = '{"train": {"optimizer": {"learning_rate": 0.001}}, "seed": 0}'
    other = runs.head(1).assign(run_id="s-8-other", spec='{"train": {"optimizer": {"learning_rate": 0.01}}, "seed": 0}')
    rows = evals[evals["run_id"] == runs["run_id"].iloc[0]].assign(run_id="s-8-other", value=1e3)
    results = assemble(pd.concat([runs, other]), train, pd.concat([evals, rows]), events, states)
    found = law(results)
    assert (found.points["seeds"] == 1).all()
    assert found.left_out == ("s-8-other (its train.optimizer.learning_rate 0.01, not 0.001)",)
    assert of(results, "6")["figure06_steps"].data["value"].max() < 1e3
