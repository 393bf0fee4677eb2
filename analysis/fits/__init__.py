"""Laws and their fits: a law is a small record of settings, `law.fit(frame)` returns a `FitResult`; no state between.

What is here is the vocabulary; `linear`, `powers`, `floored`,
`steps` and `searched` hold the laws, `result` what a fit returns. numpy and scipy only.
"""

from typing import TYPE_CHECKING

from dit_grid.analysis.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.fits.comparison import (
        FORMS,
        chosen_after_looking,
        compare,
        forward_chain,
        hold_out_largest,
        leave_one_out,
    )
    from dit_grid.analysis.fits.correlation import Correlation, correlate
    from dit_grid.analysis.fits.floored import Floored
    from dit_grid.analysis.fits.intervals import prediction_interval
    from dit_grid.analysis.fits.isoflop import IsoFlop, cut_at_budgets, iso_flop
    from dit_grid.analysis.fits.linear import LogLinear, ParamsTokens, PerGroup, PowerLaw, Quadratic
    from dit_grid.analysis.fits.noisy import RERUN_NOISE, fit_with_noise, points_noise, seed_noise
    from dit_grid.analysis.fits.powers import SumOfPowers
    from dit_grid.analysis.fits.resampling import Bootstrap, bootstrap
    from dit_grid.analysis.fits.result import Dropped, Estimate, FitResult, Status
    from dit_grid.analysis.fits.rows import CannotFitError
    from dit_grid.analysis.fits.searched import Searched, broken_power_law
    from dit_grid.analysis.fits.steps import Crossover, ParamsTokensSteps, along_compute, crossover, efficient_frontier

_HOMES = {
    "FORMS": "comparison",
    "RERUN_NOISE": "noisy",
    "Bootstrap": "resampling",
    "CannotFitError": "rows",
    "Correlation": "correlation",
    "Crossover": "steps",
    "Dropped": "result",
    "Estimate": "result",
    "FitResult": "result",
    "Floored": "floored",
    "IsoFlop": "isoflop",
    "LogLinear": "linear",
    "ParamsTokens": "linear",
    "ParamsTokensSteps": "steps",
    "PerGroup": "linear",
    "PowerLaw": "linear",
    "Quadratic": "linear",
    "Searched": "searched",
    "Status": "result",
    "SumOfPowers": "powers",
    "along_compute": "steps",
    "bootstrap": "resampling",
    "broken_power_law": "searched",
    "chosen_after_looking": "comparison",
    "compare": "comparison",
    "correlate": "correlation",
    "crossover": "steps",
    "cut_at_budgets": "isoflop",
    "efficient_frontier": "steps",
    "fit_with_noise": "noisy",
    "forward_chain": "comparison",
    "hold_out_largest": "comparison",
    "iso_flop": "isoflop",
    "leave_one_out": "comparison",
    "points_noise": "noisy",
    "prediction_interval": "intervals",
    "seed_noise": "noisy",
}

__all__ = [
    "FORMS",
    "RERUN_NOISE",
    "Bootstrap",
    "CannotFitError",
    "Correlation",
    "Crossover",
    "Dropped",
    "Estimate",
    "FitResult",
    "Floored",
    "IsoFlop",
    "LogLinear",
    "ParamsTokens",
    "ParamsTokensSteps",
    "PerGroup",
    "PowerLaw",
    "Quadratic",
    "Searched",
    "Status",
    "SumOfPowers",
    "along_compute",
    "bootstrap",
    "broken_power_law",
    "chosen_after_looking",
    "compare",
    "correlate",
    "crossover",
    "cut_at_budgets",
    "efficient_frontier",
    "fit_with_noise",
    "forward_chain",
    "hold_out_largest",
    "iso_flop",
    "leave_one_out",
    "points_noise",
    "prediction_interval",
    "seed_noise",
]

__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
