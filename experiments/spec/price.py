"""What time and money are reckoned with: speeds where nothing was measured, prices, and what a cluster bills for.

What a run then costs is the planner's; which prices are shipped, and where they are from, stands in `prices.yaml`.
"""

from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from dit_grid.experiments.spec.record import Count, Record, later
from dit_grid.experiments.spec.slices import SIZES, chips_and_cores, slice_mistake
from dit_grid.experiments.spec.source import Located, Problem, SpecError, read_yaml
from dit_grid.experiments.spec.validate import validated

Price = Annotated[float, Field(gt=0, le=1e9)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Billing = Literal["on-demand", "preemptible"]

BUILT_IN = "built-in"
"""What `plan.prices` says for the prices that are shipped."""

SINGLE = ("gpu", "cpu")


class PriceRow(Record):
    """One price: of a slice type, a whole generation by the chip, a GPU or a core; with its date and where it is from.

    The first row that fits is taken, so exact slice types stand above their generation.
    """

    of: Annotated[str, Field(min_length=1, max_length=40)]
    """A slice type (v3-256), a generation (v3), `gpu` or `cpu`."""
    usd_per_hour: Price | None = None
    """[USD/h] Of the whole slice, a GPU or a core."""
    usd_per_chip_hour: Price | None = None
    """[USD/h] Of a chip, for every slice type of a generation."""
    from_chips: PositiveInt = later(1)
    """[chips] Only of slices of so many or more: one host of v2 or v3 has prices of its own, by region."""
    billing: Billing = "on-demand"
    """What is paid for: capacity that stays, or that may be taken away."""
    region: str | None = None
    """Where; anywhere if left out."""
    date: date
    """When the price was looked up."""
    source: Annotated[str, Field(min_length=1, max_length=500)]
    """Where: an address, an invoice."""

    @model_validator(mode="after")
    def _names_what_is_sold(self) -> "PriceRow":
        if (self.usd_per_hour is None) == (self.usd_per_chip_hour is None):
            raise ValueError(f"the price of {self.of}: give one of usd_per_hour and usd_per_chip_hour")
        if self.of not in (*SIZES, *SINGLE) and (mistake := slice_mistake(self.of)):
            raise ValueError(f"of: {mistake}; or a generation, gpu, cpu")
        if self.of in SIZES and self.usd_per_hour is not None:
            raise ValueError(
                f"the price of the generation {self.of}: give usd_per_chip_hour; its slices differ in size"
            )
        return self

    def hourly(self, kind: str) -> float | None:
        """Return what one of `kind` (a slice type, gpu, cpu) costs an hour; None where the row is of something else."""
        if self.of not in (kind, kind.split("-")[0]):
            return None
        chips = 1 if kind in SINGLE else chips_and_cores(kind)[0]
        if chips < self.from_chips:
            return None
        return (self.usd_per_chip_hour or 0.0) * chips if self.usd_per_hour is None else self.usd_per_hour


class PriceSpec(Record):
    """What `plan` reckons with: model FLOPs utilisation where nothing was measured, and a price in one stated unit.

    `mfu_error` is how far the utilisation may be off, as a share. `efficiency` is the share of a compiled program's
    roofline that it reaches, asked of the compiler or shipped, in place of one utilisation for all. Every preemption
    costs `restart_s` and what was done since the last checkpoint; `overhead` is a share of time for anything else.
    `slices` are what is reserved, and billed as `capacity` says; the times that nobody measured here are assumptions to
    edit.
    """

    mfu: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    """[share] Of the peak that training reaches, where nothing was measured."""
    mfu_error: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """[share] By which that may be off; the range of hours follows."""
    efficiency: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    """[share] Of the compiled roofline that is reached, where there is one; 0.74 if neither this nor `mfu` is given."""
    usd_per_chip_hour: Price | None = None
    """[USD/h] Of a chip, or a GPU, or a core."""
    usd_per_core_hour: Price | None = None
    """[USD/h] Of a core as the cloud counts them; a TPU v3 chip has two."""
    prices: Annotated[str, Field(min_length=1)] | None = later(None)
    """A file of prices, from where the spec lies, or `built-in`: Google Cloud's list prices with their dates."""
    price_rows: tuple[PriceRow, ...] = later(())
    """Prices written here; what `prices` names is read into this."""
    billing: Billing = later("on-demand")
    """Which of the prices are paid."""
    region: str | None = later(None)
    """Whose prices; of any region if left out."""
    slices: dict[str, PositiveInt] = later({})
    """[slices] Reserved of each type; one of each that a run names if left out."""
    capacity: Literal["fixed", "autoscaled"] = later("fixed")
    """Slices that stay and are billed to the campaign's end, or that come when a run wants one and then go."""
    come_s: Seconds = later(600.0)
    """[seconds] From asking for an autoscaled slice until a run starts on it; billed."""
    go_s: Seconds = later(600.0)
    """[seconds] That an autoscaled slice is kept, and billed, after its last run."""
    start_s: Seconds = later(30.0)
    """[seconds] From a run's start until its processes are up."""
    compile_s: Seconds = later(60.0)
    """[seconds] Of compiling at each start of a run."""
    checkpoint_mb_per_s: Annotated[float, Field(gt=0, le=1e9)] = later(200.0)
    """[MB/s] That a host writes of a checkpoint."""
    latents_per_s: Annotated[float, Field(gt=0, le=1e12)] | None = later(None)
    """[images/s] That the data feed of one host gives, where it was measured; holds up a run that wants more."""
    read_mb_per_s: Annotated[float, Field(gt=0, le=1e9)] = later(200.0)
    """[MB/s] That a host reads, and checks, of shards of latents when a start of a run first needs them."""
    images: Count | None = later(None)
    """[images] In the folder of latents that is trained on, where that is not on this disk."""
    back_s: Seconds = later(1800.0)
    """[seconds] Until a preempted slice, or another for it, is there; waited for, not billed."""
    overhead: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """[share] Of time on top for anything else."""
    preemptions_per_hour: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """[per hour] Expected of each run."""
    restart_s: Annotated[float, Field(ge=0, le=1e9)] = 300.0
    """[seconds] That each preemption costs before training goes on."""

    @field_validator("slices")
    @classmethod
    def _are_sold(cls, slices: dict[str, int]) -> dict[str, int]:
        for name in slices:
            if mistake := slice_mistake(name):
                raise ValueError(mistake)
        return slices

    @model_validator(mode="after")
    def _one_unit(self) -> "PriceSpec":
        if self.usd_per_chip_hour is not None and self.usd_per_core_hour is not None:
            raise ValueError("two prices; give usd_per_chip_hour or usd_per_core_hour (a TPU v3 chip has two cores)")
        flat = self.usd_per_chip_hour is not None or self.usd_per_core_hour is not None
        if flat + (self.prices is not None) + bool(self.price_rows) > 1:
            raise ValueError("two prices; give one of usd_per_chip_hour, usd_per_core_hour, prices and price_rows")
        return self

    @property
    def has_price(self) -> bool:
        """Whether anything is priced at all."""
        return bool(self.usd_per_chip_hour or self.usd_per_core_hour or self.price_rows)

    def row(self, kind: str) -> PriceRow | None:
        """Return the row of the price list that is paid for `kind`; None where there is none."""
        for row in self.price_rows:
            here = self.region is None or row.region in (None, self.region)
            if here and row.billing == self.billing and row.hourly(kind) is not None:
                return row
        return None

    def hourly(self, kind: str) -> float | None:
        """Return what one of `kind` (a slice type, gpu, cpu) costs an hour; None where no price is known."""
        chips, cores = (1, 1) if kind in SINGLE else chips_and_cores(kind)
        if self.usd_per_chip_hour is not None:
            return chips * self.usd_per_chip_hour
        if self.usd_per_core_hour is not None:
            return cores * self.usd_per_core_hour
        row = self.row(kind)
        return None if row is None else row.hourly(kind)


class _PriceFile(Record):
    """A file of prices: rows, and what rows have that do not say it themselves."""

    rows: tuple[PriceRow, ...]


def with_rows(price: PriceSpec, folder: Path) -> PriceSpec:
    """Return the same with the rows of the file that `prices` names, looked for in `folder`.

    Raises SpecError with every mistake of that file.
    """
    if price.prices is None:
        return price
    rows = built_in() if price.prices == BUILT_IN else read_prices(folder / price.prices)
    return price.model_copy(update={"prices": None, "price_rows": rows})


@cache
def built_in() -> tuple[PriceRow, ...]:
    """Return the prices that are shipped."""
    with resources.as_file(resources.files("dit_grid.experiments") / "spec" / "prices.yaml") as path:
        return read_prices(path)


def read_prices(path: Path) -> tuple[PriceRow, ...]:
    """Return the rows of a file of prices, in its order. Raises SpecError with every mistake, each with its line."""
    tree = read_yaml(path, "a file of prices is a mapping with `rows:`")
    shared = {key: item for key, item in tree.value.items() if key != "rows"}
    rows = tree.value.get("rows")
    if rows is None or not isinstance(rows.value, list) or not rows.value:
        raise SpecError([Problem(tree.file, 1, "rows", "must be a list of prices, each with `of` and USD an hour")])
    unknown = [key for key in shared if key not in PriceRow.model_fields]
    if unknown:
        known = ", ".join(["rows", *PriceRow.model_fields])
        raise SpecError(
            [Problem(tree.file, shared[key].line, key, f"unknown field; known: {known}") for key in unknown]
        )
    whole = [
        Located({**shared, **row.value}, row.file, row.line) if isinstance(row.value, dict) else row
        for row in rows.value
    ]
    located: dict[str, Any] = {"rows": Located(whole, rows.file, rows.line)}
    made, problems = validated(_PriceFile, Located(located, tree.file, tree.line))
    if made is None:
        raise SpecError(problems)
    return made.rows
