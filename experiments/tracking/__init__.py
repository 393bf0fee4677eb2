"""The rows of a store in other people's trackers, W&B, MLflow and TensorBoard, and runs that these hold in a store.

A tracker never holds the truth, the store does; and no key or password is ever read here or written down.
"""

from dit_grid.experiments.tracking.destinations import address, missing_packages, trackers_of, tracking_folder
from dit_grid.experiments.tracking.foreign_run import NotATrackerError
from dit_grid.experiments.tracking.imports import is_tracked, read_tracked
from dit_grid.experiments.tracking.mirror import Mirror
from dit_grid.experiments.tracking.tracker import TrackingError

__all__ = [
    "Mirror",
    "NotATrackerError",
    "TrackingError",
    "address",
    "is_tracked",
    "missing_packages",
    "read_tracked",
    "trackers_of",
    "tracking_folder",
]
