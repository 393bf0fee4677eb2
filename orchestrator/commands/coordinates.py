"""`dit-grid coordinates`: whether activations keep their size and pace as networks grow wider.

Measuring is `experiments.training.coordinates`; here are the request, the table and the figure.
"""

from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.options import JSON

if TYPE_CHECKING:
    from dit_grid.analysis.figures import Chart
    from dit_grid.experiments.training.coordinates import Coordinate, Slope

FLAT = 0.2
"""Up to this exponent of width a change counts as flat: a factor of 1.3 over four times the width."""


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@click.option(
    "--parametrization", type=click.Choice(["both", "mup", "standard"]), default="both", show_default=True,
    help="Which to measure, whatever the spec says.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), default=4, show_default=True, help="Updates to follow.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Seeds to average over.")
@click.option("--figure", metavar="FILE", help="Draw the changes over width as SVG, PNG or PDF.")
@JSON
def coordinates(spec: str, parametrization: str, steps: int, seeds: int, figure: str | None, as_json: bool) -> None:
    """Measure activations, and how far the first updates move them, for networks that differ in width alone.

    \b
    dit-grid coordinates experiments/width-transfer.yaml
    dit-grid coordinates experiments/width-transfer.yaml --seeds 3 --figure coordinates.svg

    Under `train.parametrization: mup` the change has an exponent of width near 0 in every layer, so a learning rate
    found for a narrow network holds for a wide one; under the standard parametrization it grows.
    """
    from dataclasses import asdict

    from dit_grid.experiments.spec import load_spec
    from dit_grid.experiments.training.coordinates import comparable, coordinates as measured, slopes
    from dit_grid.orchestrator.screen.notices import plain_warnings
    from dit_grid.orchestrator.screen.tables import print_json

    check_figure(figure)
    runs, left = comparable(load_spec(spec).networks)
    asked = ["standard", "mup"] if parametrization == "both" else [parametrization]
    with plain_warnings():
        found = measured(runs, asked, steps, seeds, lambda said: click.echo(said, err=True))
    fitted = slopes(found)
    if figure:
        from dit_grid.analysis.figures.coordinates import coordinate_figure

        write_figure(coordinate_figure([asdict(one) for one in found]), figure)
    if as_json:
        print_json({
            "models": [run.model.name for run in runs], "left_out": left, "steps": steps, "seeds": seeds,
            "coordinates": [asdict(one) for one in found], "slopes": [_plain(one) for one in fitted],
        })  # fmt: skip
        return
    _print(found, fitted, steps, left)
    if figure:
        click.echo(f"Figure: {figure}")


def check_figure(figure: str | None) -> None:
    """Raise RequestError for a name that does not say what kind of picture to write."""
    from dit_grid.orchestrator.control.errors import RequestError

    if figure is not None and not figure.endswith((".svg", ".png", ".pdf")):
        raise RequestError(f"--figure {figure}: the name says the kind of file; end it in .svg, .png or .pdf")


def _plain(slope: "Slope") -> dict[str, Any]:
    from dataclasses import asdict

    return {name: None if value != value else value for name, value in asdict(slope).items()}


def _print(found: "list[Coordinate]", fitted: "list[Slope]", steps: int, left: list[str]) -> None:
    from dit_grid.orchestrator.screen.tables import print_rows

    widths = sorted({one.width for one in found})
    changes = {(c.parametrization, c.layer, c.width): c.change for c in found if c.step == steps}
    rows = [
        {"parametrization": s.parametrization, "layer": s.layer}
        | {f"w{width}": f"{changes[s.parametrization, s.layer, width]:.3g}" for width in widths}
        | {"change": f"{s.change:+.2f}", "size": f"{s.size:+.2f}"}
        for s in fitted
    ]
    columns = {"parametrization": "parametrization", "layer": "layer", **{f"change at {w}": f"w{w}" for w in widths}}
    print_rows(columns | {"its exponent": "change", "size's": "size"}, rows)
    for name in dict.fromkeys(s.parametrization for s in fitted):
        steepest = max((s for s in fitted if s.parametrization == name and s.change == s.change),
                       key=lambda s: abs(s.change), default=None)  # fmt: skip
        if steepest is not None:
            verdict = "flat" if abs(steepest.change) <= FLAT else "not flat"
            click.echo(
                f"{name}: {verdict} after {steps} updates; the steepest is {steepest.layer}, whose change goes as "
                f"width^{steepest.change:+.2f}"
            )
    if left:
        click.echo(f"Left out, for they differ in more than width: {', '.join(left)}")


def write_figure(chart: "Chart", file: str) -> None:
    """Write the chart under a name that `check_figure` let pass; at gs:// too."""
    from dit_grid.analysis.figures.chart import drawing
    from dit_grid.experiments.data.remote import saved

    with saved(file) as path, drawing():
        chart.savefig(path, format=file.rpartition(".")[2], dpi=150, facecolor="white")


COMMANDS = (coordinates,)
