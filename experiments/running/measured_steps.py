"""The steps at which a run is measured, from numbers alone: a status of a thousand runs checks no spec for them.

What is measured there, and what of it is owed, is `owed_evaluations`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class MeasuredSteps(Collection[int]):
    """Every `every` updates, and always at the `last`; as a set and in order."""

    every: int
    last: int

    @classmethod
    def of(cls, every: int, last: int, whens: Collection[str]) -> Self | None:
        """Return the steps of a run with a setting for each of `whens`, `every` or `end`; None if it has none."""
        if not whens:
            return None
        return cls(every if any(when != "end" for when in whens) else last, last)

    @classmethod
    def stored(cls, spec: Mapping[str, Any]) -> Self | None:
        """Return the steps of a run by its spec as the store has it; None of one made elsewhere, or damaged."""
        try:
            every, last = spec["evaluate"]["every"], spec["train"]["steps"]
            whens = [setting.get("when", "every") for setting in spec["evaluate"]["settings"]]
        except (KeyError, TypeError, AttributeError):
            return None
        counts = all(type(number) is int and number > 0 for number in (every, last))
        return cls.of(every, last, whens) if counts else None

    def __len__(self) -> int:
        return -(-self.last // self.every)

    def __contains__(self, step: object) -> bool:
        return isinstance(step, int) and self._is_due(step)

    def _is_due(self, step: int) -> bool:
        return step == self.last or (0 < step < self.last and step % self.every == 0)

    def __iter__(self) -> Iterator[int]:
        yield from range(self.every, self.last, self.every)
        yield self.last
