"""What figures and pages are made of: a store's results, the family of runs that belong together, and their laws.

Each is found once, when it is first asked for; what is drawn of it is `catalog`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dit_grid.analysis.figures.published import of_the_papers_kind, published_points
from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.laws.scaling import ScalingLaw, law
from dit_grid.analysis.laws.tuning import Tuning, other_tunings
from dit_grid.analysis.results.families import family_ties, rule_names, specs_of, whole_family
from dit_grid.analysis.results.frames import NotMeasuredError, Results
from dit_grid.analysis.results.metric_names import main_metric, metric_named
from dit_grid.analysis.results.sweeps import best_only

PAPER_METRICS = ("fid", "sfid", "is", "precision", "recall")
"""The five metrics of the paper's Figure 12, in its order."""

NOTHING = "nothing was measured yet; the first evaluations come with the first runs"

Samples = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Material:
    """What figures are drawn from: everything in the store, and of it the family of runs that belong together.

    Of models that were swept over a hyperparameter `results` has the best of each by the main metric, `family` all.
    """

    everything: Results
    samples: Samples

    @cached_property
    def results(self) -> Results:
        """The results of the main family, of a sweep the best run of each model."""
        return best_only(self.family)

    @property
    def family(self) -> Results:
        """The results of the main family."""
        return self._family[0]

    @cached_property
    def _family(self) -> tuple[Results, tuple[str, ...]]:
        return whole_family(self.everything)

    @cached_property
    def metric(self) -> str:
        """The metric of the scaling law; raises NotMeasuredError where nothing was measured."""
        found = main_metric(set(self.family.evals["metric"]))
        if found is None and len(self.everything.evals):
            raise NotMeasuredError(f"no run is known well enough to stand in a law: {'; '.join(self.left_out[:6])}")
        if found is None:
            raise NotMeasuredError(NOTHING)
        return found

    @cached_property
    def law(self) -> ScalingLaw:
        """The law of the main metric, which names the runs of other families; raises NotMeasuredError without one."""
        found = self._main_law
        if found.points.empty:
            why = found.unusable or "it is measured at the last step that a run asks for"
            raise NotMeasuredError(f"0 models have a final {self.metric}; {why}")
        return replace(
            found,
            left_out=(*self._family[1], *found.left_out),
            choices=tuple(dict.fromkeys((*self.ties, *found.choices))),
        )

    @cached_property
    def _main_law(self) -> ScalingLaw:
        return law(self.family, self.metric)

    @cached_property
    def laws(self) -> dict[str, ScalingLaw]:
        """Metric -> its law over `results`, in order of name; empty where nothing was measured."""
        names = sorted(map(str, set(self.results.evals["metric"])))
        is_swept = self.results is not self.family
        return {
            name: self._main_law if name == self.metric and not is_swept else law(self.results, name) for name in names
        }

    @cached_property
    def ties(self) -> tuple[str, ...]:
        """What decided which runs are the main family, where several families or recipes have as many models."""
        return family_ties(self.everything.runs, specs_of(self.everything))

    @property
    def left_out(self) -> tuple[str, ...]:
        """The runs outside the main family, each with the reason."""
        return self._family[1]

    @cached_property
    def tunings(self) -> dict[str, Tuning]:
        """The law's sweep, and those of its models under other rules, by what tells the rules apart; raises
        NotMeasuredError where there is none."""
        tuning = self.law.tuning
        if tuning is None:
            raise NotMeasuredError("no hyperparameter was swept; grid: {train.optimizer.learning_rate: […]} does so")
        others = other_tunings(self.everything, tuning.sweep, self.metric)
        own = rule_names(self.everything)[str(tuning.sweep.best["rule"].iloc[0])] if others else ""
        return {own: tuning} | others

    @property
    def compute_law(self) -> ScalingLaw:
        """The law where it is one of forward compute; raises NotMeasuredError where that is not known."""
        if self.law.points["gmacs"].isna().any():
            raise NotMeasuredError("the compute of a forward pass is not known of every model; see cost: in the spec")
        return self.law

    @cached_property
    def published(self) -> pd.DataFrame | None:
        """The paper's twelve points where they can stand beside own ones."""
        return published_points() if of_the_papers_kind(self.results, self.metric) else None

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics measured, in the paper's order, the main one first."""
        have = {str(name) for name, rows in self.results.evals.groupby("metric") if _any_usable(str(name), rows)}
        known = [name for name in PAPER_METRICS if name in have]
        return list(dict.fromkeys([self.metric, *known, *sorted(have)]))

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The paper's metrics that are missing, where own results are of its experiment."""
        wanted = PAPER_METRICS if self.metric == "fid" else ()
        return tuple(metric_named(name).label for name in wanted if name not in self.metrics)


def _any_usable(metric: str, rows: pd.DataFrame) -> bool:
    return bool(is_usable(rows["value"], metric_named(metric).log).any())
