"""What drivers, people and processes leave in a store so that others find it: the lease, requests, the journal.

Files and their meaning only; who acts on them is `driving`, what is decided is `core`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.control.inbox import Inbox as Inbox
    from dit_grid.orchestrator.control.lease import Ended as Ended, Held as Held, Lease as Lease, Watcher as Watcher
    from dit_grid.orchestrator.control.signals import stop_signals as stop_signals

__getattr__, __dir__ = on_first_use(__name__)
