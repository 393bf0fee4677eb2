"""What every group of settings in a spec is: frozen, closed, and stable in what it hashes to."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_before_validator_function

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


class one_of:  # noqa: N801, read as a word in annotations
    """The validator of a name that is one of these, or of those that installed packages register for the kind.

    An editor offers these alone, and takes any.
    """

    def __init__(self, kind: str, *names: str) -> None:
        self.kind, self.names = kind, names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.names)}, handler(schema)]}

    def _known(self, value: Any) -> Any:
        if value in self.names or value in registered(self.kind):
            return value
        expected = ", ".join(f"'{name}'" for name in (*self.names, *registered(self.kind)))
        raise PydanticKnownError("literal_error", {"expected": expected})


def later(default: Any, **limits: Any) -> Any:
    """A field that came after the first stores: at its default it is left out of what is written and hashed.

    So ids of specs which do not use it stay as they are.
    """
    return Field(default, exclude_if=lambda value: value == default, **limits)
