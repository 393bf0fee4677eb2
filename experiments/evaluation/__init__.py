"""Measuring a checkpoint: samples drawn, decoded, described and scored, held-out loss, and its state if it is cut off.

The scores themselves are `metrics`. When a run is measured, and what it still owes, is `running`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.evaluation.evaluation import Evaluation as Evaluation
    from dit_grid.experiments.evaluation.foreign_images import (
        make_reference as make_reference,
        score_images as score_images,
    )
    from dit_grid.experiments.evaluation.partial_state import (
        PartialEvaluation as PartialEvaluation,
        StoppedError as StoppedError,
    )
    from dit_grid.experiments.evaluation.sample_scoring import ImageEvaluation as ImageEvaluation

__getattr__, __dir__ = on_first_use(__name__)
