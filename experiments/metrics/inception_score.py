"""The Inception Score, from class logits; computing logits is the Inception network's part."""

import numpy as np
from scipy.special import logsumexp

ADM_BLOCK = 5000
"""Images scored together by ADM's suite, whose score is the plain mean over blocks."""


def inception_score(logits: np.ndarray, block: int = ADM_BLOCK) -> float:
    """exp(mean KL(p(class | image) || p(class))) of logits (N, classes), averaged over consecutive blocks of images.

    A last, shorter block counts like any other. The block size changes the score, much when N is small: quote it.
    Works on log-probabilities in float64, so certain predictions do not become NaN. Source: Salimans et al. 2016.
    """
    if logits.ndim != 2 or not len(logits):
        raise ValueError(f"logits {logits.shape}; expected (N, classes) with N > 0")
    return float(np.mean([_score(logits[i : i + block]) for i in range(0, len(logits), block)]))


def _score(logits: np.ndarray) -> float:
    logits = np.asarray(logits, np.float64)
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    log_marginal = logsumexp(log_p, axis=0) - np.log(len(log_p))
    divergence = np.sum(np.exp(log_p) * (log_p - log_marginal), axis=1)
    return float(np.exp(np.mean(divergence)))
