"""The numbers that Peebles & Xie 2022 (arXiv 2212.09748v2) print, as frames, each row with its source.

What is here is data, what of it belongs together, and own results beside it; the paper's figures from these numbers are
`figures.paper_folder`. Nothing was read off a picture.
"""

from dit_grid.analysis.paper.selections import other_methods, paper_law, twelve
from dit_grid.analysis.paper.tables import paper_results, published, table

__all__ = ["other_methods", "paper_law", "paper_results", "published", "table", "twelve"]
