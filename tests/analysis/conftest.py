"""A planted grid: twelve models whose distance follows a known law, as frames and as a store on disk."""

import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dit_grid.analysis.results.frames import assemble
from dit_grid.experiments.store import Store, StorePaths, records

SIZES = {"S": (32, 2), "B": (48, 3), "L": (64, 4), "XL": (80, 5)}
STEPS, EXPONENT, SCALE = 2000, -0.5, 0.2


def planted_runs(seeds=(0,), sizes=SIZES, patches=(8, 4, 2)):
    rows = []
    for size, (width, depth) in sizes.items():
        for patch in patches:
            for seed in seeds:
                tokens = (8 // patch) ** 2
                rows.append({
                    "run_id": f"{size.lower()}-{patch}-{seed:06d}", "experiment": "planted", "model": f"{size}/{patch}",
                    "size": size, "patch": patch, "block": "adaln-zero", "image_size": 8, "channels": 1, "classes": 10,
                    "width": width, "depth": depth, "heads": depth, "tokens": tokens,
                    "params": 18 * depth * width**2, "forward_macs": 12 * depth * tokens * width**2,
                    "batch": 128, "steps": STEPS, "seed": seed, "dataset": "digits", "spec": "{}",
                    "code_sha256": "0", "created_unix_s": 0.0,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=records.RUNS.schema.names)


def eval_rows(run, metric, value, step, **changes):
    row = dict.fromkeys(records.EVALS.schema.names)
    row |= {
        "run_id": run["run_id"], "attempt": 1, "step": step, "metric": metric, "value": value, "protocol": "aaaa",
        "samples": 1797, "sampler": "ddim", "sampler_steps": 25, "guidance": 1.0, "weights": "ema", "decoder": "",
        "seed": 0, "reference": "digits",
    }  # fmt: skip
    return row | changes


def planted_tables(noise=0.0, stop=(), seeds=(0,), seed=0, sizes=SIZES, patches=(8, 4, 2)):
    """runs, train, evals, events, states; models in `stop` are at half their steps."""
    rng = np.random.default_rng(seed)
    runs = planted_runs(seeds, sizes, patches)
    train, evals = [], []
    for run in runs.to_dict("records"):
        at = [s for s in (500, 1000, 1500, 2000) if run["model"] not in stop or s <= STEPS // 2]
        for step in at:
            gmacs = run["forward_macs"] / 1e9
            value = SCALE * gmacs**EXPONENT * (step / STEPS) ** -0.6 * np.exp(rng.normal(0, noise))
            evals.append(eval_rows(run, "fd_conv", value, step))
            evals.append(eval_rows(run, "accuracy", 1 / (1 + value / 50), step))
            unsampled = {"protocol": "bbbb", "samples": 297, "sampler": None, "sampler_steps": None, "guidance": None}
            evals.append(eval_rows(run, "heldout_loss", 0.1 + value / 1000, step, **unsampled))
        for step in range(100, at[-1] + 1, 100):
            train.append({"run_id": run["run_id"], "attempt": 1, "step": step, "loss": 0.1 + 90 / (100 + step)})
    states = {r["run_id"]: "done" for r in runs.to_dict("records") if r["model"] not in stop}
    frames: list = [(records.TRAIN, train), (records.EVALS, evals), (records.EVENTS, [])]
    return (runs, *(pd.DataFrame(rows, columns=table.schema.names) for table, rows in frames), states)


def write_store(where, tables):
    """The same tables as a store, with one .npz of samples a run."""
    runs, train, evals, _, states = tables
    store = Store.create(str(where))
    for run in _records(runs, records.RUNS):
        store.add_run(run)
        attempt = store.begin_attempt(run["run_id"], 0)
        with store.writer(attempt) as writer:
            for row in _records(train[train["run_id"] == run["run_id"]], records.TRAIN):
                writer.train(row)
            for row in _records(evals[evals["run_id"] == run["run_id"]], records.EVALS):
                writer.eval(row)
        if run["run_id"] in states:
            store.end_attempt(attempt, states[run["run_id"]])
        buffer = io.BytesIO()
        np.savez(buffer, samples=np.full((3, 8, 8, 1), run["patch"] / 8 - 0.5, np.float32))
        store.files.create(f"{StorePaths.samples(run['run_id'])}/s000002000.npz", buffer.getvalue())
    return str(where)


def _records(frame, table):
    rows = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


@pytest.fixture(scope="session")
def planted():
    """Makers of planted results: `tables(...)`, `results(...)`, `store(where, ...)`, and the truth in them."""
    return SimpleNamespace(
        tables=planted_tables,
        eval_row=eval_rows,
        results=lambda **settings: assemble(*planted_tables(**settings)),
        store=lambda where, **settings: write_store(where, planted_tables(**settings)),
        exponent=EXPONENT,
        scale=SCALE,
        steps=STEPS,
    )


def module_beside(name):
    """A module of this folder, which is no package."""
    specification: Any = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sweeping():
    """The maker of planted sweeps, and the truth in them."""
    return module_beside("sweeping")


@pytest.fixture(scope="session")
def headless():
    """A new page of a headless browser as a context manager; the test is skipped where there is no Chromium."""
    module = module_beside("headless")
    program = module.chromium()
    if program is None:
        pytest.skip("needs Chromium on the PATH: apt-get install chromium")
    with module.Browser(program) as browser:
        yield lambda: module.Page(browser)
