"""An evaluation interrupted after any chunk of samples ends with the same rows, bit for bit, and draws none twice."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.evaluation import evaluation as evaluate, partial_state as partial_evaluation
from dit_grid.experiments.evaluation.evaluation import Evaluation
from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation, StoppedError
from dit_grid.experiments.metrics.image_scores import collect
from dit_grid.experiments.metrics.reference import write_reference
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store, StorePaths
from dit_grid.experiments.store.compaction import collect as collect_garbage
from dit_grid.experiments.training.update import Program

CHUNK, SAMPLES = 12, 40
"""Four chunks of 12, 12, 12 and 4 samples a setting, whose batches of 8 images never end with one of the first two."""

NETWORK = '''
"""Averages of the quarters of an image, mixed."""
import numpy as np
from dit_grid.experiments.networks.features import FeatureNetwork

def make(_):
    mix = np.random.default_rng(1).standard_normal((12, 8))

    def extract(images):
        quarters = images.reshape(len(images), 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(len(images), 12) / 128 - 1
        pool = np.tanh(quarters @ mix)
        return {"pool": pool, "spatial": pool[:, :5]}

    return FeatureNetwork("inception", "ab" * 32, "quarters", extract, classify=lambda rows: 3 * rows)
'''
SPENT = {"seconds", "sampling_s", "decoding_s", "features_s", "statistics_s"}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """The evaluation of an untrained network under three kinds of metrics, and its state."""
    root = tmp_path_factory.mktemp("partial")
    (root / "quarter_features.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        patch.setattr(evaluate, "SAMPLE_BATCH", CHUNK)
        real = np.uint8((digits().batch(0, 0, 60).images + 1) * 127.5)
        network = importlib.import_module("quarter_features").make(None)
        found = collect(network, [np.repeat(real, 3, axis=-1)], batch=8)
        write_reference(
            root / "ref.npz", found.gaussian("pool"), found.gaussian("spatial"), found.provenance, rows=found.rows
        )
        common = {"samples": SAMPLES, "sampler": "ddim", "steps": 2}
        images = ["heldout_loss", "fid", "sfid", "is", "precision", "recall"]
        run = RunSpec.model_validate({
            "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 16, "depth": 1,
                      "heads": 2},
            "data": {"name": "digits"},
            "train": {"steps": 4, "batch": 8, "log_every": 2},
            "evaluate": {"every": 2, "files": {"ref": str(root / "ref.npz")}, "settings": [
                common | {"metrics": images, "features": "quarter_features:make", "reference": "ref"},
                common | {"metrics": ["accuracy"], "guidance": 1.5},
            ]},
            "execution": {"checkpoint_every": 2},
        })  # fmt: skip
        program = Program(run)
        yield Evaluation(run, program, digits()), program.init()


@pytest.fixture
def measured(tmp_path, evaluation):
    return Measured(Store.create(str(tmp_path / "store")), evaluation[0].run.id, 1, 4)


@pytest.fixture(scope="module")
def whole(evaluation):
    return outcome(evaluation, PartialEvaluation())


def outcome(evaluation, partial):
    """The rows without their seconds, in a form that keeps every bit; and the pictures."""
    measuring, state = evaluation
    rows = [{k: v for k, v in row.items() if k not in SPENT} for row in measuring.rows(4, state, partial)]
    return json.dumps(rows), measuring.sheet.tobytes()


def interrupted(evaluation, measured, after, **options):
    """The evaluation stopped after so many chunks."""
    asked: list = []

    def stop():
        asked.append(None)
        return len(asked) == after

    partial = PartialEvaluation(measured, stop, **options)
    with pytest.raises(StoppedError):
        outcome(evaluation, partial)
    return partial


def names(measured):
    return sorted(measured.store.files.walk(StorePaths.samples(measured.run_id)))


@pytest.fixture
def drawn(evaluation, monkeypatch):
    """How many samples each chunk drawn held."""
    heard, honest = [], evaluation[0]._chunks

    def counted(*asked):
        for chunk in honest(*asked):
            heard.append(len(chunk))
            yield chunk

    monkeypatch.setattr(evaluation[0], "_chunks", counted)
    return heard


@pytest.mark.parametrize("after", range(1, 9))
def test_stopped_after_any_chunk_it_ends_with_the_same_bits_and_draws_nothing_twice(
    evaluation, measured, whole, drawn, after
):
    interrupted(evaluation, measured, after)
    assert len(names(measured)) == 1
    again = PartialEvaluation(measured)
    assert outcome(evaluation, again) == whole
    assert drawn == 2 * [12, 12, 12, 4]
    again.clear()
    assert names(measured) == []


def test_stopped_after_every_chunk_in_turn_it_still_ends_with_the_same_bits(evaluation, measured, whole, drawn):
    for _ in range(8):
        interrupted(evaluation, measured, 1)
    assert outcome(evaluation, PartialEvaluation(measured)) == whole
    assert drawn == 2 * [12, 12, 12, 4]


def test_time_alone_saves_a_state_too_and_the_last_two_stay(evaluation, measured, whole):
    interrupted(evaluation, measured, 7, every_s=0.0)
    assert [name.split("-n")[1] for name in names(measured)] == ["00000006.partial", "00000007.partial"]
    interrupted(evaluation, measured, 1, every_s=1e9)
    finished = PartialEvaluation(measured, every_s=1e9)
    assert outcome(evaluation, finished) == whole
    finished.clear()
    assert names(measured) == []


def test_time_that_is_not_up_saves_nothing(evaluation, measured, whole):
    assert outcome(evaluation, PartialEvaluation(measured)) == whole
    assert names(measured) == []


def test_a_state_that_is_damaged_is_told_of_and_the_one_before_it_is_taken(evaluation, measured, whole, drawn):
    interrupted(evaluation, measured, 3, every_s=0.0)
    path = Path(measured.store.paths.full(names(measured)[-1]))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    drawn.clear()
    with pytest.warns(UserWarning, match="n00000003.partial: part of an evaluation, but damaged; it is not used"):
        assert outcome(evaluation, PartialEvaluation(measured)) == whole
    assert drawn == [12, 4, 12, 12, 12, 4]


def test_a_state_of_other_code_is_told_of_and_never_used(evaluation, measured, whole, drawn, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(partial_evaluation, "code_sha256", lambda: "other")
        interrupted(evaluation, measured, 2)
    drawn.clear()
    finished = PartialEvaluation(measured)
    with pytest.warns(UserWarning, match="made by other code, devices or number of processes; it is not used"):
        assert outcome(evaluation, finished) == whole
    assert drawn == 2 * [12, 12, 12, 4]


def test_states_of_other_checkpoints_and_settings_are_left_alone(evaluation, measured, whole, drawn):
    interrupted(evaluation, measured, 2)
    drawn.clear()
    assert outcome(evaluation, PartialEvaluation(measured._replace(attempt=2))) == whole
    assert drawn == 2 * [12, 12, 12, 4]
    assert len(names(measured)) == 1


def test_where_nothing_can_be_kept_the_evaluation_goes_on(evaluation, measured, whole, monkeypatch):
    def full(name, data):
        raise partial_evaluation.StorageError("cannot write: the disk is full")

    monkeypatch.setattr(measured.store.files, "create", full)
    with pytest.warns(UserWarning, match="goes on, but what it has done could not be kept: cannot write: the disk"):
        assert outcome(evaluation, PartialEvaluation(measured, every_s=0.0)) == whole


def test_clean_up_takes_a_state_whose_checkpoint_is_gone(evaluation, measured):
    interrupted(evaluation, measured, 2)
    (name,) = names(measured)
    assert [(r.name, r.reason) for r in collect_garbage(measured.store, dry_run=False, grace_s=-1.0)] == [
        (name, "part of an evaluation of a checkpoint that is gone")
    ]
    assert names(measured) == []
