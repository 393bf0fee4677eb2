"""A first spec for somebody's own data or trainer, with comments, that runs as it is written.

What a spec may say is `spec`; whether it would start is asked where every spec is checked.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.starting.first_spec import (
        KINDS as KINDS,
        StartError as StartError,
        first_files as first_files,
        write_new as write_new,
    )

__getattr__, __dir__ = on_first_use(__name__)
