"""Updates of a network: ours as the trainer compiles it, the peer's as its users would write it.

An update is noise, forward, backward, AdamW and the moving average. No data are read.
"""

from collections.abc import Callable

from dit_grid.orchestrator.bench.contests import OURS
from dit_grid.orchestrator.bench.networks import CHANNELS, SIDE, batch, config, run, torch_shape


def ours(case: str, threads: int) -> Callable[[], None]:
    """The trainer's own program, waited for."""
    import jax
    import numpy as np

    from dit_grid.experiments.training.update import Program

    program = Program(run(case))
    state = program.init()
    images = np.random.default_rng(0).standard_normal((1, batch(case), SIDE, SIDE, CHANNELS), np.float32)
    labels = np.arange(batch(case), dtype=np.int32)[None]

    def update() -> None:
        nonlocal state
        state, losses = program.advance(state, images, labels)
        jax.block_until_ready((state, losses))

    return update


def _torch(compiled: bool) -> Callable[[str, int], Callable[[], object]]:
    def make(case: str, threads: int) -> Callable[[], object]:
        import torch

        from dit_grid.orchestrator.bench.torch_dit import updates

        torch.set_num_threads(threads)
        return updates(**torch_shape(case), batch=batch(case), compiled=compiled)

    return make


def products(case: str, threads: int) -> Callable[[], None]:
    """No trainer: as many multiply-accumulates as an update has, in large products of NumPy: a floor for anybody."""
    import numpy as np

    from dit_grid.model import accounting

    left, right = (np.random.default_rng(0).standard_normal((1536, 1536), np.float32) for _ in range(2))
    times = round(accounting.training_macs(config(case), batch(case), 1) / 1536**3)

    def multiply() -> None:
        for _ in range(times):
            left @ right

    return multiply


WAYS = {OURS: ours, "torch": _torch(False), "torch.compile": _torch(True), "its products alone": products}
