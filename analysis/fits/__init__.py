"""Laws and their fits: a law is a small record of settings, `law.fit(frame)` returns a `FitResult`; no state between.

What is here is the vocabulary; `linear`, `powers`, `floored`,
`steps` and `searched` hold the laws, `result` what a fit returns. numpy and scipy only.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.fits.comparison import (
        FORMS as FORMS,
        chosen_after_looking as chosen_after_looking,
        compare as compare,
        forward_chain as forward_chain,
        hold_out_largest as hold_out_largest,
        leave_one_out as leave_one_out,
    )
    from dit_grid.analysis.fits.correlation import Correlation as Correlation, correlate as correlate
    from dit_grid.analysis.fits.floored import Floored as Floored
    from dit_grid.analysis.fits.intervals import prediction_interval as prediction_interval
    from dit_grid.analysis.fits.isoflop import (
        IsoFlop as IsoFlop,
        cut_at_budgets as cut_at_budgets,
        iso_flop as iso_flop,
    )
    from dit_grid.analysis.fits.linear import (
        LogLinear as LogLinear,
        ParamsTokens as ParamsTokens,
        PerGroup as PerGroup,
        PowerLaw as PowerLaw,
        Quadratic as Quadratic,
    )
    from dit_grid.analysis.fits.noisy import (
        RERUN_NOISE as RERUN_NOISE,
        fit_with_noise as fit_with_noise,
        points_noise as points_noise,
        seed_noise as seed_noise,
    )
    from dit_grid.analysis.fits.powers import SumOfPowers as SumOfPowers
    from dit_grid.analysis.fits.resampling import Bootstrap as Bootstrap, bootstrap as bootstrap
    from dit_grid.analysis.fits.result import (
        Dropped as Dropped,
        Estimate as Estimate,
        FitResult as FitResult,
        Status as Status,
    )
    from dit_grid.analysis.fits.rows import CannotFitError as CannotFitError
    from dit_grid.analysis.fits.searched import Searched as Searched, broken_power_law as broken_power_law
    from dit_grid.analysis.fits.steps import (
        Crossover as Crossover,
        ParamsTokensSteps as ParamsTokensSteps,
        along_compute as along_compute,
        crossover as crossover,
        efficient_frontier as efficient_frontier,
    )

__getattr__, __dir__ = on_first_use(__name__)
