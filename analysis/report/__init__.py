"""One self-contained HTML page about a store: the law, plots to look into, tables, samples, and what a refit needs.

What is here puts the page together. Numbers come from `laws` and `fits`, pictures from the samples in the store.
"""

from dit_grid.analysis.report.page import Besides, report_html, write_report

__all__ = ["Besides", "report_html", "write_report"]
