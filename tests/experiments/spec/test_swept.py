"""Which settings of several runs are a sweep: those that differ, less what every table shows and what says nothing."""

from dit_grid.experiments.spec.swept import swept_settings


def spec(**changes):
    return {"model": {"size": "S", "patch": 4, "width": 32}, "train": {"lr": 1, "steps": 5}, "seed": 0} | changes


def test_only_what_differs_is_swept_by_its_dotted_name():
    assert swept_settings([spec(), spec(train={"lr": 2, "steps": 9}, seed=1)]) == [{"train.lr": 1}, {"train.lr": 2}]
    assert swept_settings([spec(), spec(seed=1)]) == [{}, {}]
    assert swept_settings([]) == []


def test_a_width_is_swept_only_where_one_name_stands_for_two():
    wide, other = {"size": "S", "patch": 4, "width": 64}, {"size": "B", "patch": 4, "width": 64}
    assert swept_settings([spec(), spec(model=other)]) == [{}, {}]
    assert swept_settings([spec(), spec(model=wide)]) == [{"model.width": 32}, {"model.width": 64}]


def test_how_a_run_was_measured_or_where_it_came_from_is_no_sweep():
    imported = {"imported_from": "log.csv", "run_id": "x"}
    assert swept_settings([spec(evaluate={"every": 1}), spec(evaluate={"every": 2}), imported]) == [{}, {}, {}]


def test_a_setting_that_one_spec_lacks_is_none_there():
    assert swept_settings([spec(), spec(data={"heldout": 3})]) == [{"data.heldout": None}, {"data.heldout": 3}]


def own(label, rate, **cost):
    return {"trainer": {"function": "mlp:train"}, "config": {"width": 8, "lr": rate}, "label": label, "cost": cost}


def test_the_config_of_an_own_trainer_is_a_sweep_only_where_one_label_stands_for_several():
    assert swept_settings([own("lr=1", 1, params=5), own("lr=2", 2, params=6)]) == [{}, {}]
    assert swept_settings([own("a", 1, params=5), own("a", 2, params=6)]) == [{"config.lr": 1}, {"config.lr": 2}]


def test_runs_of_an_own_trainer_and_ours_are_each_compared_with_their_like():
    ours = [{"model": {"size": "S", "patch": 4}, "data": {"name": "digits"}, "train": {"lr": rate}} for rate in (1, 2)]
    assert swept_settings([own("a", 1), *ours]) == [{"train.lr": None}, {"train.lr": 1}, {"train.lr": 2}]


def test_a_run_made_elsewhere_may_hold_anything_under_those_names():
    said = [{"config": {"lr": 1}, "label": "x", "metrics": ["fid"]}, {"config": {"lr": 2}, "label": "y"}]
    assert swept_settings(said) == [
        {"config.lr": 1, "label": "x", "metrics": ["fid"]}, {"config.lr": 2, "label": "y", "metrics": None},
    ]  # fmt: skip
