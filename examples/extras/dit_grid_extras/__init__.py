"""One of each thing that a package can add to dit-grid: a dataset, a metric, a sampler, a block and a backend."""
