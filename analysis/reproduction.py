"""Own results beside the paper's, run by run: ratio, whether reruns differ by as much, which settings differ.

What is here compares with Table 4; a metric or model that the paper does not report is not compared.
"""

import pandas as pd

from dit_grid.analysis.paper.tables import paper_results
from dit_grid.analysis.results import Results, final_rows

RERUN_SPREAD = 0.10
"""Relative difference in FID that honest reruns show. The authors' own PyTorch runs differ from the paper by 0.1 to 7 %
(their README); reimplementations by 8 to 16 % (facebookresearch/DiT issues 21 and 122)."""

SETTINGS = ("samples", "sampler", "sampler_steps", "guidance", "weights", "decoder")
RUN_SETTINGS = ("batch", "steps", "dataset")

CAUSES = (
    "fewer than 50,000 samples raise FID; the bias falls as 1 / samples",
    "another decoder than ft-MSE moves FID by 0.03 to 0.2 (Table 5)",
    "reference statistics of another crop, resize or split",
    "guidance other than 1, or labels not drawn uniformly",
    "raw weights instead of their average, or an average that started late",
)
"""The usual causes of a gap, most frequent first."""


def compare_with_paper(results: Results) -> pd.DataFrame:
    """A row a final FID of a model that the paper trained too: own and published value, ratio, verdict, differences.

    `within_reruns` is True where they differ by no more than RERUN_SPREAD; `differs` names settings that are not the
    paper's, and with any the values are not strictly comparable.

    Raises:
        ValueError: no FID was measured.
    """
    keys = ["model", "block", "image_size", "steps"]
    own, published = final_rows(results, "fid"), final_rows(paper_results(), "fid")
    pairs = own.merge(published, on=["model", "block", "image_size"], suffixes=("", "_paper"))
    closest = (pairs["steps"] - pairs["steps_paper"]).abs().groupby(pairs["run_id"]).transform("min")
    pairs = pairs[(pairs["steps"] - pairs["steps_paper"]).abs() == closest]
    ratio = pairs["value"] / pairs["value_paper"]
    table = pairs[["run_id", *keys, "value", "value_paper"]].rename(columns={"value": "own", "value_paper": "paper"})
    differs = [_differences(row) for row in pairs.to_dict("records")]
    return table.assign(ratio=ratio, within_reruns=(ratio - 1).abs() <= RERUN_SPREAD, differs=differs)


def _differences(row: dict) -> str:
    pairs = ((name, row[name], row[f"{name}_paper"]) for name in (*RUN_SETTINGS, *SETTINGS))
    return "; ".join(f"{name} {own}, paper {paper}" for name, own, paper in pairs if own != paper)
