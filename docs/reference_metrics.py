"""The page of reference of every metric: what it is, how it reads, and what it needs.

All of it is said beside the metrics; `write_reference.py` writes the page.
"""

from dit_grid.analysis.results.metric_names import MAIN, metric_named
from dit_grid.experiments.metrics.names import IMAGES, KNOWN, OWN, SAYS

HEAD = f"""# Metrics

Made from the metrics' own records by `python docs/write_reference.py`; a test fails when it is stale. A spec names
metrics in `evaluate.settings`; a trainer of yours measures by any name, and says under `metrics:` how it reads
([how](../how-to/own-metric.md)). A law is fitted to the first of these that was measured: {", ".join(MAIN)}; else
to another that spans decades. [What a distance hides](../explanation/fid.md) is a page of its own.

"On a log axis" says that values span decades: figures and laws take their logarithm.

| metric | better | log axis | needs | what it is |
|---|---|---|---|---|
"""
SETS = "statistics", "images"


def page() -> str:
    """The page as it stands in `docs/reference/metrics.md`."""
    return HEAD + "\n".join(map(_row, KNOWN)) + "\n"


def _row(name: str) -> str:
    reads = metric_named(name)
    better, log = "lower" if reads.lower_is_better else "higher", "yes" if reads.log else "no"
    return f"| `{name}` | {better} | {log} | {_needs(name)} | {SAYS[name]} |"


def _needs(name: str) -> str:
    if name not in IMAGES:
        of = [dataset for dataset, names in OWN.items() if name in names]
        return f"data: {', '.join(of)}" if of else "`data.heldout` images"
    asked = IMAGES[name]
    network = "the Inception network" if asked.inception else "a feature network"
    sets = [f"the reference's {one}" for one in SETS if getattr(asked, one)]
    return ", ".join([network, *sets])
