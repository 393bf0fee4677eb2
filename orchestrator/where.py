"""WHERE on the command line: a spec file, a store's folder or a gs:// URL, or nothing for the newest store here."""

from pathlib import Path

from dit_grid.orchestrator.errors import RequestError

RESULTS = "results"
"""The folder that the shipped specs keep their stores in."""


def store_of(where: str | None) -> str:
    """Return the store that `where` names; nothing means the one under `results/` that was launched last.

    Raises SpecError for a YAML file with mistakes, RequestError where nothing is named and there is no store.
    """
    if where is None:
        return _newest_store()
    if where.endswith((".yaml", ".yml")):
        from dit_grid.experiments.spec import load_spec

        return load_spec(where).store
    return where


def _newest_store() -> str:
    stores = [path.parent for path in Path(RESULTS).glob("*/FORMAT.json")]
    if not stores:
        raise RequestError(f"no store in {RESULTS}/; name a spec, a store or a gs:// URL, or launch one: "
                      "dit-grid launch experiments/digits.yaml")  # fmt: skip
    return str(max(stores, key=_last_attempt))


def _last_attempt(store: Path) -> float:
    attempts = store / "attempts"
    return (attempts if attempts.is_dir() else store).stat().st_mtime
