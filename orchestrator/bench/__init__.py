"""What a stranger can check on a machine of their own: work of this project beside the same work of its peers, in turn.

`contests` says what is compared, `pairs` how; each piece of work stands in the module of its contest, our way and the
peers'. Nothing here is used by a launch, and peers are asked only where somebody installed them.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.bench.contests import CONTESTS as CONTESTS, Contest as Contest, asked as asked
    from dit_grid.orchestrator.bench.machine import described as described
    from dit_grid.orchestrator.bench.page import check_page as check_page, markdown as markdown, rewritten as rewritten
    from dit_grid.orchestrator.bench.pairs import Comparison as Comparison, compared as compared

__getattr__, __dir__ = on_first_use(__name__)
