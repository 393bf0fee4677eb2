"""A backend: one run after another in the launching process itself, without Ray; for debugging a trainer."""

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.contract import InProcess


class InTurn(InProcess):
    """Made with the path of the store, which a new grid's launch makes before it adopts anything."""

    def __init__(self, where):
        super().__init__(store=None)
        self.where = where

    def adopt(self, specs):
        self.store = Store.open(self.where)
        return super().adopt(specs)
