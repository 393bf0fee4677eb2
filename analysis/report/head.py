"""The first screen: the law in a sentence with its numbers, and before anything else why it should not be believed.

What is here is markup; the words are `words`, the reasons `dit_grid.analysis.laws.doubts`.
"""

from html import escape

from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.laws.doubts import doubts
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.report.words import facts, headline
from dit_grid.analysis.results.frames import Results

SHOWN = 4
"""Doubts that are read without a click; of a long list the rest is one click away."""


def name_of(results: Results) -> str:
    """What the results are called: their experiments, or where they are."""
    names = list(dict.fromkeys(str(name) for name in results.runs["experiment"].dropna()))
    return ", ".join(names[:3]) or results.where or "these results"


def head(material: Material, law: ScalingLaw | None, why: str) -> str:
    """The first screen's markup; `why` says why there is no law, where there is none."""
    results = material.everything
    title = f"No law yet: {why}" if law is None and len(results.evals) else headline(law)
    said = dict.fromkeys([name_of(results), results.where or "", _counts(results)])  # a store without runs has no name
    place = f"<p class=where>{' · '.join(map(escape, filter(None, said)))}</p>"
    if law is None:
        return f"{place}<h1>{escape(title)}</h1>"
    numbers = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in facts(law))
    equation = f"<p class=equation>{escape(_equation(law))}</p>" if law.fit is not None else ""
    text = (
        f"<details><summary>The law in words, as the launch prints it</summary><pre>{escape(str(law))}</pre></details>"
    )
    warned = _doubts(doubts(law, material.laws)) if law.fit is not None else ""
    return f"{place}<h1>{escape(title)}</h1>{equation}{warned}<dl class=facts>{numbers}</dl>{text}"


def _counts(results: Results) -> str:
    states = results.runs["state"].value_counts()
    return ", ".join(f"{count:,} {state}" for state, count in states.items()) or "no runs"


def _equation(law: ScalingLaw) -> str:
    assert law.fit is not None
    return law.fit.law.equation(law.fit.theta).replace("gmacs", "GMACs").replace("value", law.metric)


def _doubts(found: tuple[str, ...]) -> str:
    if not found:
        looked = "averages that outlive their run, values at chance, residuals by patch size, metrics that disagree"
        return f"<p class=fine>No reason was found to doubt this law. Looked for: {looked}.</p>"
    items = [f"<li>{escape(line)}</li>" for line in found]
    more = f"<details><summary>{len(items) - SHOWN} more</summary><ul>{''.join(items[SHOWN:])}</ul></details>"
    rest = more if len(items) > SHOWN else ""
    return f"<aside class=doubts><h2>Before you believe it</h2><ul>{''.join(items[:SHOWN])}</ul>{rest}</aside>"
