"""The numbers that Peebles & Xie 2022 (arXiv 2212.09748v2) print, as frames, each row with its source.

What is here is data and its reading; the paper's figures from them are `report`. Nothing was read off a picture.
"""

from dit_grid.analysis.paper.report import analyze_paper, paper_charts, paper_law, paper_text
from dit_grid.analysis.paper.tables import paper_results, published, table

__all__ = ["analyze_paper", "paper_charts", "paper_law", "paper_results", "paper_text", "published", "table"]
