"""Which of the paper's printed numbers belong together: the twelve models, its other methods, its law, its longest run.

What is printed is `tables`; drawing it is `figures.paper_folder`.
"""

import pandas as pd

from dit_grid.analysis.fits import LogLinear
from dit_grid.analysis.laws.scaling import ScalingLaw, law
from dit_grid.analysis.paper.tables import figure10_points, paper_results, published
from dit_grid.analysis.results.frames import Results

SAMPLER_STEPS = (16, 32, 64, 128, 256, 1000)
"""The sampler steps of Figure 10."""


def twelve() -> Results:
    """The twelve models of the grid at 400K steps, without other block designs, sizes of image, or longer runs."""
    results = paper_results()
    runs = results.runs.query("block == 'adaln-zero' and image_size == 32 and steps == 400_000")
    evals = results.evals[results.evals["run_id"].isin(runs["run_id"])]
    return Results(runs, results.train, evals, results.events, results.where)


def paper_law() -> ScalingLaw:
    """Figure 8's law: FID-50K of the twelve models, a line in log10 Gflops."""
    return law(twelve(), "fid", form=LogLinear())


def other_methods() -> pd.DataFrame:
    """The methods of Figure 2 right with their FID-50K at 256 px (Table 2) and Gflops (Tables 2 and 6, section 5.1)."""
    rows = published()
    macs = {"ADM": 1120.0, "ADM-U": 742.0, "LDM-8": 57.0, "LDM-4": 103.6, "DiT-XL/2": 118.64}
    best = rows[rows["table"] == "2"].groupby("model")["fid"].min()
    names = ["ADM", "ADM-U", "LDM-8", "LDM-4", "DiT-XL/2", "ADM-G", "LDM-8-G", "LDM-4-G", "DiT-XL/2-G"]
    frame = pd.DataFrame({"name": names, "value": [best[name] for name in names]})
    frame["gmacs"] = [macs[name.removesuffix("-G")] for name in names]
    return frame.assign(own=frame["name"].str.startswith("DiT"))


def with_long_run() -> Results:
    """The twelve models, with XL/2 to its 7M steps."""
    results = paper_results()
    runs = results.runs.query("block == 'adaln-zero' and image_size == 32")
    evals = results.evals[results.evals["run_id"].isin(runs["run_id"])].copy()
    evals.loc[evals["model"] == "XL/2", "run_id"] = "XL/2"
    return Results(runs, results.train, evals, results.events, results.where)


def figure10_compute() -> pd.DataFrame:
    """Sampling compute of Figure 10: a row a model, a column a number of steps, GMACs per image without guidance."""
    runs = twelve().runs.set_index("model")
    return pd.DataFrame({steps: runs["gmacs"] * steps for steps in SAMPLER_STEPS}).reset_index()


def figure10() -> pd.DataFrame:
    """The points of Figure 10 that the text gives, with the compute of their models: a row a point."""
    points = figure10_points().assign(model=lambda f: f["model"].str.removeprefix("DiT-"))
    facts = twelve().runs[["model", "size", "patch", "gmacs"]]
    return points.rename(columns={"fid": "value"}).merge(facts, on="model")
