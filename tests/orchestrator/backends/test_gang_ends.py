"""The end of a gang is told whatever the store does: one that was moved away must not keep a run running for ever."""

from typing import Any

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.ray.gang import gone_word
from dit_grid.orchestrator.backends.ray.held import Ground
from dit_grid.orchestrator.core.events import Gang

NOBODY: Any = None
"""The cluster, which the end of a gang does not ask."""


def ground_of(where):
    return Ground(str(where), "", NOBODY, NOBODY, lambda event: None)


def test_a_store_that_is_away_leaves_the_newest_checkpoint_that_was_known(tmp_path):
    ground = ground_of(tmp_path / "moved-away")
    word = gone_word(ground, Gang("s-2-00000000", 1), checkpoint=700)
    assert (word.gang.run_id, word.checkpoint, word.done) == ("s-2-00000000", 700, False)


def test_it_is_asked_again_once_it_is_back(tmp_path):
    ground = ground_of(tmp_path / "store")
    assert gone_word(ground, Gang("s-2-00000000", 1), checkpoint=700).checkpoint == 700
    Store.create(str(tmp_path / "store"))
    assert gone_word(ground, Gang("s-2-00000000", 1), checkpoint=700).checkpoint == 0
