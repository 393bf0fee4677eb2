"""Specs of one's own trainer: names, ids and costs, and a line for each mistake."""

import pytest

from dit_grid.experiments.spec import SpecError, load_spec
from dit_grid.experiments.spec.any_run import columns, run_from, stored
from dit_grid.experiments.spec.expressions import ExpressionError, evaluate

SPEC = """
name: own
store: somewhere
trainer: mlp:train
grid: {config.width: [8, 16], seed: [0, 1]}
config: {lr: 1e-3, optimizer: {name: adam}, depth: 2}
cost: {params: 2 * config.width + 1, forward_gmacs: config.width ** 2 / 1e9}
metrics: {score: {better: higher}}
train: {steps: 100, batch: 32}
"""


def loaded(tmp_path, text=SPEC):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return load_spec(path)


def mistakes(tmp_path, text):
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_runs_are_named_by_what_varies_and_priced_by_their_config(tmp_path):
    runs = loaded(tmp_path).runs
    assert [(run.model.name, run.seed) for run in runs] == [
        ("width=8", 0), ("width=8", 1), ("width=16", 0), ("width=16", 1),
    ]  # fmt: skip
    row = columns(runs[2])
    assert (row["params"], row["forward_macs"], row["tokens"], row["batch"]) == (33, 256, None, 32)
    assert runs[0].config["lr"] == 0.001  # YAML reads 1e-3 as text


def test_ids_are_of_what_can_change_a_number(tmp_path):
    first = loaded(tmp_path).runs[0]
    assert first.id.startswith("mlp-")
    for same in (
        SPEC.replace("2 * config.width + 1", "7"),
        SPEC.replace("better: higher", "better: lower"),
        SPEC + "execution: {checkpoint_every: 7}\n",
        SPEC.replace("config.width: [8, 16]", "config.width: [8], config.depth: [2]"),
    ):
        assert loaded(tmp_path, same).runs[0].id == first.id
    for other in (
        SPEC.replace("lr: 1e-3", "lr: 2e-3"),
        SPEC.replace("mlp:train", "mlp:train2"),
        SPEC.replace("steps: 100", "steps: 200"),
        SPEC.replace("seed: [0, 1]", "seed: [3]"),
    ):
        assert loaded(tmp_path, other).runs[0].id != first.id


def test_what_the_store_keeps_and_what_is_sent_give_the_same_run(tmp_path):
    run = loaded(tmp_path).runs[0]
    assert run_from(stored(run)).id == run.id
    assert run_from(run.model_dump(mode="json")) == run


def test_overrides_and_labels_go_by_the_name(tmp_path):
    text = SPEC + 'overrides: {"width=16": {config: {lr: 0.5}}}\n'
    assert [run.config["lr"] for run in loaded(tmp_path, text).runs] == [0.001, 0.001, 0.5, 0.5]


def test_a_label_is_filled_in_and_found_by_globs(tmp_path):
    text = SPEC + 'label: "w{config.width} of {steps}"\noverrides: {"w16*": {config: {lr: 0.5}}}\n'
    runs = loaded(tmp_path, text).runs
    assert [(run.model.name, run.config["lr"]) for run in runs[1:3]] == [("w8 of 100", 0.001), ("w16 of 100", 0.5)]
    assert stored(runs[0])["label"] == "w8 of 100"
    assert runs[0].id == loaded(tmp_path).runs[0].id, "a name is no number"
    assert "'w{config.widht}': unknown {config.widht}" in mistakes(tmp_path, SPEC + "label: w{config.widht}\n")


@pytest.mark.parametrize(
    ("was", "becomes", "line"),
    [
        ("2 * config.width + 1", "2 * config.widht", "own.yaml:7: cost.params: unknown name 'config.widht' (did you "
         "mean 'config.width'?); known: "),
        ("2 * config.width + 1", "config.optimizer.name", "own.yaml:7: cost.params: config.optimizer.name is 'adam', "
         "not a number"),
        ("2 * config.width + 1", "1 / (config.depth - 2)", "cost.params: '1 / (config.depth - 2)' has no value here: "),
        ("2 * config.width + 1", "-config.width", "cost.params: is -8; must be more than 0"),
        ("2 * config.width + 1", "open('x')", "cost.params: \"open('x')\": only numbers, config fields, "),
        ("2 * config.width + 1", "no_such:cost", "cost.params: no_such:cost failed: ModuleNotFoundError: "),
        ("params: 2", "parms: 2", "cost.parms: unknown field (did you mean 'params'?); known here: params, "),
        ("mlp:train", "mlp", "own.yaml:4: trainer.function: got 'mlp'; must be module:function, or a mapping with "),
        ("mlp:train", "{command: [python, '{config.widht}']}", "unknown {config.widht} (did you mean 'config.width'?)"),
        ("mlp:train", "{command: [torchrun, '{gpus}']}", "'{gpus}': unknown {gpus}"),
        ("better: higher", "better: bigger", "own.yaml:8: metrics.score.better: got 'bigger'"),
        ("lr: 1e-3", "lr: 2026-01-01", "config.lr: got datetime.date(2026, 1, 1); must be a number, text, "),
        ("train: {steps: 100", "data: {name: digits}\ntrain: {steps: 100", "own.yaml:9: data: unknown field"),
        ("train: {steps: 100, ", "train: {", "train.steps: missing; it has no default"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line(tmp_path, was, becomes, line):
    found = mistakes(tmp_path, SPEC.replace(was, becomes, 1))
    assert line in found
    assert len({text.split(": ", 2)[1] for text in found.splitlines()}) == 1, found


def test_expressions_reckon_and_do_nothing_else():
    names = {"config.width": 3, "config.on": True}
    assert evaluate("2 * config.width ** 2 - -1 / 4", names) == 18.25
    assert evaluate("(1 + 2) * 3", names) == 9
    for text in ("config", "config.on", "__import__('os')", "[1][0]", "1 if 1 else 2", "9 ** 9 ** 9", "1 +", "'a'",
                 "config.width.real", "(" * 300 + "1" + ")" * 300, "1 " * 400, "lambda: 1", "1e400"):  # fmt: skip
        with pytest.raises(ExpressionError):
            evaluate(text, names)


@pytest.mark.parametrize("cost", ["{params: 3 * config.widht}", "{params: -1}", "7"])
def test_a_cost_that_is_wrong_alone_is_one_line(tmp_path, cost):
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\nstore: s\ntrainer: a:train\ngrid: {{config.width: [2]}}\ncost: {cost}\n"
                    "train: {steps: 1}\n")  # fmt: skip
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert len(str(error.value).splitlines()) == 1
