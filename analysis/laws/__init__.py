"""The law of a grid, as a launch prints it, and what may make it wrong: too few samples, missing runs.

The forms that it can have, and how they are fitted, are `fits`; models not yet run are `forecasting`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.laws.objectives import compare_objectives as compare_objectives
    from dit_grid.analysis.laws.sample_size import without_bias as without_bias
    from dit_grid.analysis.laws.scaling import ScalingLaw as ScalingLaw, law as law

__getattr__, __dir__ = on_first_use(__name__)
