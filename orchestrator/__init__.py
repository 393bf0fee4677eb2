"""Many runs on a cluster: what is left to do and costs, who drives, what is decided, where it executes, what is shown.

A single run is `dit_grid.experiments`, and needs nothing from here.
"""
