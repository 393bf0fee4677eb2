"""What a run is: its spec, its data, its training and evaluation, and the store that its numbers go to.

One process is enough for all of it; many runs on a cluster are `dit_grid.orchestrator`, what numbers mean is
`dit_grid.analysis`.
"""
