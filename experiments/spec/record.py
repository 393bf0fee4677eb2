"""What every group of settings in a spec is: frozen, closed, and stable in what it hashes to."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from dit_grid.model.entry_points import registered

UnitInterval = Annotated[float, Field(ge=0, lt=1)]

# Bounds of whole numbers. They are far above what any network or run can be, and low enough that everything made of
# them (a list of steps, a schedule, a product of sizes) is made in an instant and fits the store's 64 bits.
Side = Annotated[int, Field(gt=0, le=2**20)]
"""A width, depth, side or number of heads or channels."""
Count = Annotated[int, Field(gt=0, lt=2**31)]
"""A number of images, classes, samples or devices."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""JAX keeps 32 bits of a seed, so that beyond them another number would draw the same noise."""
Steps = Annotated[int, Field(gt=0, lt=10**9)]
"""Updates; the names of checkpoints have nine digits for them."""


class Record(BaseModel):
    """A frozen group of settings; a field that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def one_of(kind: str, *names: str) -> BeforeValidator:
    """The validator of a name that is one of these, or of those that installed packages register for the kind."""

    def known(value: Any) -> Any:
        if value in names or value in registered(kind):
            return value
        expected = ", ".join(f"'{name}'" for name in (*names, *registered(kind)))
        raise PydanticKnownError("literal_error", {"expected": expected})

    return BeforeValidator(known)


def later(default: Any, **limits: Any) -> Any:
    """A field that came after the first stores: at its default it is left out of what is written and hashed.

    So ids of specs which do not use it stay as they are.
    """
    return Field(default, exclude_if=lambda value: value == default, **limits)
