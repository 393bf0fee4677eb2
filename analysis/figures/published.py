"""The paper's points, shaped for each figure, where own results are of the paper's experiment and metric.

What is here selects from Table 4 and Table 2; other metrics and other data have nothing to be put beside.
"""

import pandas as pd

from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.paper.selections import other_methods, twelve
from dit_grid.analysis.paper.tables import paper_results
from dit_grid.analysis.results.frames import Results, final_rows


def of_the_papers_kind(results: Results, metric: str) -> bool:
    """Whether own values can stand beside the paper's: FID of networks on 32 x 32 x 4 latents of ImageNet."""
    runs = results.runs
    latents = (runs["image_size"] == 32) & (runs["channels"] == 4) & runs["dataset"].str.contains("imagenet")
    return metric == "fid" and bool(latents.any())


def published_points() -> pd.DataFrame:
    """The twelve models at 400K steps: model, size, patch, gmacs, step, train_gmacs, value."""
    rows = final_rows(twelve(), "fid")
    return rows[["model", "size", "patch", "gmacs", "step", "train_gmacs", "value"]].reset_index(drop=True)


def published_blocks() -> pd.DataFrame:
    """The four block designs of XL/2 at 400K steps: block, step, value."""
    rows = final_rows(paper_results(), "fid")
    chosen = rows[(rows["model"] == "XL/2") & (rows["step"] == 400_000) & (rows["image_size"] == 32)]
    return chosen[["block", "step", "value"]]


def methods_beside(law: ScalingLaw, results: Results) -> pd.DataFrame:
    """Figure 2 right: the published methods (name, gmacs, value, own False) and own best, guided too if measured."""
    best = law.points.sort_values("value").iloc[0]
    rows = [{"name": f"{best['model']} here", "value": best["value"], "gmacs": best["gmacs"], "own": True}]
    evals = results.evals
    guided = evals[(evals["metric"] == law.metric) & (evals["step"] == evals["steps"]) & (evals["guidance"] > 1)]
    guided = guided[is_usable(guided["value"], positive=True)]
    if len(guided):
        top = guided.sort_values("value").iloc[0]
        rows.append({"name": f"{top['model']}-G here", "value": top["value"], "gmacs": top["gmacs"], "own": True})
    return pd.concat([other_methods().assign(own=False), pd.DataFrame(rows)], ignore_index=True)
