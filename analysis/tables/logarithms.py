"""On what scale a metric falls as a law: ln of the value, or of its logarithm where it is the exponent of a loss.

What is here knows names and ranges of metrics; which floors and exponents they have is `priors`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PERPLEXITY = ("perplexity", "ppl")


class Scale(NamedTuple):
    """`to` takes values to where laws are fitted, `back` returns them; `slope` is of ln of the value there."""

    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def scale_of(y: str, values: np.ndarray) -> Scale:
    """The scale of a metric of this name: a perplexity, above 1 everywhere, is the exponent of a loss, and laws hold
    for losses."""
    words = y.lower().replace("-", "_").split("_")
    if any(word in PERPLEXITY for word in words) and values.min() > 1:
        return Scale(lambda value: np.log(np.log(value)), lambda t: np.exp(np.exp(t)), np.exp)
    return Scale(np.log, np.exp, np.ones_like)
