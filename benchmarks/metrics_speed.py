"""CPU seconds of the statistics of an evaluation, each beside what other programs use, pairwise in one run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/metrics_speed.py             all, about five minutes
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/metrics_speed.py frechet     also: moments, neighbours
    python benchmarks/metrics_speed.py --small                                              sees that it works, seconds

frechet: distance of two Gaussians of 2,048 features against `scipy.linalg.sqrtm`, full rank and 614 samples; goal a
ratio of 8 and an error of 1e-9 against the singular values of the samples. moments: 50,000 × 2,048 rows, 500 at a time,
against `np.mean` and `np.cov`; goal no slower, and constant memory (peak of what each allocates is printed).
neighbours: precision and recall of 10,000 and 10,000 points of 2,048 features; goal 12 s. Times are of the process, the
best of `--repeats`.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from dit_grid.experiments.metrics.frechet import frechet_distance
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.neighbours import precision_recall


def features(seed: int, rows: int, width: int, shift: float = 0.0) -> np.ndarray:
    """Correlated rows (N, D), float32, whose variances fall to a sixteenth over the features."""
    z = np.random.default_rng(seed).standard_normal((rows, width), np.float32)
    x = z + np.float32(0.5) * np.roll(z, 1, axis=1)
    return (x / (1 + 3 * np.arange(width, dtype=np.float32) / width) + np.float32(shift)).astype(np.float32)


def frechet(width: int, repeats: int) -> None:
    """Print seconds and error of the Fréchet distance, ours and by `sqrtm`, at full rank and with few samples."""
    for name, rows in (("full rank", 2 * width), ("fewer samples than features", width * 6 // 20)):
        x, y = features(1, rows, width).astype(np.float64), features(2, rows - 20, width, 0.1).astype(np.float64)
        statistics = x.mean(axis=0), np.cov(x, rowvar=False), y.mean(axis=0), np.cov(y, rowvar=False)
        exact = from_samples(x, y)
        ours, distance = timed(lambda s=statistics: frechet_distance(*s).value, repeats)
        theirs, root = timed(lambda s=statistics: by_sqrtm(*s), repeats)
        print(f"frechet, {width} features, {name}: ours {ours:.2f} s, error {abs(distance - exact):.1e}; "
              f"sqrtm {theirs:.2f} s, error {abs(root - exact):.1e}; ratio {theirs / ours:.1f}")  # fmt: skip


def moments(rows: int, width: int, repeats: int) -> None:
    """Print seconds and peak memory of mean and covariance, streamed and by NumPy, and how far they differ."""
    x = features(3, rows, width)
    streamed, found = timed(lambda: stream(x), repeats)
    whole, (mean, covariance) = timed(lambda: (x.mean(axis=0), np.cov(x, rowvar=False)), repeats)
    difference = np.abs(found.covariance() - covariance).max() / np.abs(covariance).max()
    peaks = [peak(lambda: stream(x)), peak(lambda: np.cov(x, rowvar=False))]
    off = np.abs(found.mean - mean).max()
    print(f"moments, {rows} x {width}: ours {streamed:.2f} s, peak {peaks[0] / 1e6:.0f} MB; "
          f"np.mean and np.cov {whole:.2f} s, peak {peaks[1] / 1e6:.0f} MB; ratio {whole / streamed:.2f}; covariances "
          f"differ by {difference:.1e} of the largest, means (np.mean's are float32) by {off:.1e}")  # fmt: skip


def neighbours(points: int, width: int, repeats: int) -> None:
    """Print seconds and peak memory of precision and recall of so many points a side."""
    x, y = features(4, points, width), features(5, points, width, 0.02)
    seconds, found = timed(lambda: precision_recall(x, y), repeats)
    held = peak(lambda: precision_recall(x, y)) / 1e6
    print(f"precision and recall, {points} x {points} x {width}: {seconds:.2f} s, peak {held:.0f} MB, {found}")


def stream(x: np.ndarray) -> Moments:
    """Return the moments of rows (N, D) that come 500 at a time."""
    found = Moments(x.shape[1])
    for start in range(0, len(x), 500):
        found.add(x[start : start + 500])
    return found


def from_samples(x: np.ndarray, y: np.ndarray) -> float:
    """The distance without any root of a matrix: singular values of the centred samples' product."""
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    parts = [float(np.sum(z**2)) / (len(z) - 1) for z in (a, b)]
    values = linalg.svdvals(a @ b.T) if len(x) < x.shape[1] else linalg.svdvals(reduced(a) @ reduced(b).T)
    cross = float(np.sum(values)) / np.sqrt((len(x) - 1.0) * (len(y) - 1.0))
    return float(np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)) + sum(parts) - 2 * cross


def reduced(x: np.ndarray) -> np.ndarray:
    """R of QR = x, which stands for x in products whose singular values alone matter."""
    return np.asarray(linalg.qr(x, mode="r")[0][: x.shape[1]])


def by_sqrtm(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """As ADM's suite and pytorch-fid do it."""
    root = linalg.sqrtm(cov1 @ cov2)
    return float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root).real)


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the CPU seconds of the fastest of so many calls, and what the last one returned."""
    used, found = [], None
    for _ in range(repeats):
        before = time.process_time()
        found = call()
        used.append(time.process_time() - before)
    return min(used), found


def peak(call: Callable[[], object]) -> int:
    """Most bytes that the call held at a time, of NumPy's."""
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["frechet", "moments", "neighbours"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    width = 128 if arguments.small else 2048
    if "frechet" in arguments.what:
        frechet(width, arguments.repeats)
    if "moments" in arguments.what:
        moments(2_000 if arguments.small else 50_000, width, arguments.repeats)
    if "neighbours" in arguments.what:
        neighbours(600 if arguments.small else 10_000, width, arguments.repeats)


if __name__ == "__main__":
    main()
