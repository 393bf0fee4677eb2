"""What a diffusion transformer is: architecture, diffusion, samplers, cost accounting and weights.

Pure JAX: no files but weights, no Ray, no YAML. Names load on first use, so that `dit_grid.model.config` and
`dit_grid.model.accounting` never import JAX.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.model.config import (
        BLOCKS as BLOCKS,
        SIZES as SIZES,
        ConfigError as ConfigError,
        DiTConfig as DiTConfig,
    )
    from dit_grid.model.diffusion import Diffusion as Diffusion
    from dit_grid.model.dit import (
        NULL_CONTEXT as NULL_CONTEXT,
        Context as Context,
        DiT as DiT,
        drop_contexts as drop_contexts,
        drop_labels as drop_labels,
    )
    from dit_grid.model.flow import Flow as Flow
    from dit_grid.model.flow_samplers import sample_flow as sample_flow
    from dit_grid.model.samplers import sample as sample, sample_chunks as sample_chunks
    from dit_grid.model.schedules import Schedule as Schedule
    from dit_grid.model.spaces import LogitNormal as LogitNormal

__getattr__, __dir__ = on_first_use(__name__)
