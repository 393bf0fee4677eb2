"""Tables 1 to 6 of the paper, and its twelve models as `Results`, so that every figure and fit works on them.

`tables.csv` holds each printed number once, with its source; the paper's Gflops are multiply-accumulates.
"""

from importlib.resources import files

import pandas as pd

from dit_grid.analysis.results.frames import Results, assemble
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN

VAE_FACTOR = 8
"""A latent's side is the image's divided by this (section 3.1: a 256 px image gives a 32 x 32 latent)."""

METRICS = ("fid", "sfid", "is", "precision", "recall")

_COLUMNS = {
    "1": ["model", "layers", "width", "heads", "gflops"],
    "2": ["model", "guidance", *METRICS],
    "3": ["model", "guidance", *METRICS],
    "4": ["model", "block", "image_size", "gflops", "params_m", "steps_k", "batch", "lr", "fid"],
    "5": ["decoder", *METRICS],
    "6": ["model", "image_size", "gflops"],
}


def published() -> pd.DataFrame:
    """Every number that the paper and its repository print: one row an entry of a table, `source` says which.

    `gflops` are the paper's (multiply-accumulates / 1e9), `params_m` millions, `steps_k` thousands of updates. `table`
    is "1" to "6", "text", or "README-…" for the authors' later PyTorch runs.
    """
    counts: dict = dict.fromkeys(
        ("patch", "image_size", "layers", "width", "heads", "params_m", "steps_k", "batch"), "Int64"
    )
    return pd.read_csv(str(files("dit_grid.analysis.paper") / "tables.csv"), dtype={"table": str, **counts})


def figure10_points() -> pd.DataFrame:
    """The two FID-10K values of Figure 10 that the text gives, with their sampler steps."""
    return pd.read_csv(str(files("dit_grid.analysis.paper") / "figure10.csv"))


def table(number: int) -> pd.DataFrame:
    """One of the paper's tables 1 to 6, its columns and rows in its order; raises ValueError for another number."""
    if str(number) not in _COLUMNS:
        raise ValueError(f"table {number}: the paper's result tables are 1 to 6")
    rows = published()
    return rows.loc[rows["table"] == str(number), _COLUMNS[str(number)]].reset_index(drop=True)


def paper_results() -> Results:
    """Table 4 as `Results`: sixteen trained networks, their FID-50K at each step the paper prints.

    Parameters and compute are as printed. Runs that go on past 400K steps are runs of their own here.
    """
    rows = published().query("table == '4'").assign(steps=lambda f: (1000 * f["steps_k"]).astype("int64"))
    rows["last"] = rows["steps"].where(rows["steps"] == 400_000, rows.groupby("image_size")["steps"].transform("max"))
    rows["run_id"] = [_run_id(row) for row in rows.to_dict("records")]
    runs = pd.DataFrame([_run(row) for row in rows.drop_duplicates("run_id").to_dict("records")])
    evals = pd.DataFrame([_evaluation(row) for row in rows.to_dict("records")])
    tables = ((runs, RUNS), (pd.DataFrame(), TRAIN), (evals, EVALS), (pd.DataFrame(), EVENTS))
    filled = [frame.reindex(columns=table.schema.names) for frame, table in tables]
    states = dict.fromkeys(runs["run_id"], "done")
    return assemble(filled[0], filled[1], filled[2], filled[3], states, "the paper, Table 4")


def _run_id(row: dict) -> str:
    parts = [row["model"].removeprefix("DiT-"), row["block"], f"{row['image_size']}px", f"{row['last'] // 1000}k"]
    return " ".join(parts)


def _run(row: dict) -> dict[str, object]:
    side, patch = int(row["image_size"]) // VAE_FACTOR, int(row["patch"])
    return {
        **{name: row[name] for name in ("run_id", "size", "block")},
        "model": f"{row['size']}/{patch}",
        "patch": patch,
        "image_size": side,
        "channels": 4,
        "classes": 1000,
        "tokens": (side // patch) ** 2,
        "params": round(1e6 * row["params_m"]),
        "forward_macs": round(1e9 * row["gflops"]),
        "batch": int(row["batch"]),
        "steps": row["last"],
        "dataset": f"imagenet-{row['image_size']}",
    }


def _evaluation(row: dict) -> dict[str, object]:
    """The paper's setting for Table 4: FID-50K, 250 DDPM steps, no guidance, EMA weights, ft-MSE decoder."""
    return {
        "run_id": row["run_id"],
        "step": row["steps"],
        "metric": "fid",
        "value": row["fid"],
        "protocol": "paper",
        "samples": 50_000,
        "sampler": "ddpm",
        "sampler_steps": 250,
        "guidance": row["guidance"],
        "weights": "ema",
        "decoder": row["decoder"],
    }
