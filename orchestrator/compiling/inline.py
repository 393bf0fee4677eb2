"""What a core holds while a run measures itself: state and image networks stay, each program comes and goes.

Bytes of a program's own are what the compiler says it needs, without the arguments that stay anyway.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dit_grid.orchestrator.compiling.questions import DECODE, FEATURES, SAMPLE, Question


class Held(NamedTuple):
    """Bytes of a core: `networks` of all decoders and feature networks, `programs` of everything while each runs."""

    networks: int
    programs: list[int]


def held_inline(questions: Sequence[Question], answers: Sequence[dict[str, Any]]) -> Held:
    """Return what a core holds while each of a run's evaluation programs runs; answers in the order of questions."""
    states = [answer["stays_bytes"] for question, answer in zip(questions, answers, strict=True)
              if question.program == SAMPLE]  # fmt: skip
    networks = sum(answer["stays_bytes"] for question, answer in zip(questions, answers, strict=True)
                   if question.program in (DECODE, FEATURES))  # fmt: skip
    return Held(networks, [max(states, default=0) + networks + _own(answer) for answer in answers])


def _own(answer: dict[str, Any]) -> int:
    """Return what a program needs beside what stays: temporaries, results, and the arguments that come with a call.

    A program that is refused says what it needs in all, of which its network is at least the smaller part.
    """
    taken = answer.get("argument_bytes", 0)
    return answer["hbm_needed_bytes"] - taken + answer["comes_bytes"] * bool(taken)
