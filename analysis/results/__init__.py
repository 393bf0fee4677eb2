"""A store's rows as tidy frames: costs joined, families of runs told apart, metrics by their names, sample pictures.

Nothing is fitted here.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.results.families import FAMILY as FAMILY
    from dit_grid.analysis.results.frames import (
        NotMeasuredError as NotMeasuredError,
        Results as Results,
        final_rows as final_rows,
        load as load,
    )
    from dit_grid.analysis.results.metric_names import main_metric as main_metric, metric_named as metric_named
    from dit_grid.analysis.results.remarks import remarks as remarks
    from dit_grid.analysis.results.sample_sheets import load_samples as load_samples
    from dit_grid.analysis.results.tables import results_table as results_table

__getattr__, __dir__ = on_first_use(__name__)
