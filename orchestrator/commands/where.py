"""WHERE on the command line: a spec file, a store's folder or a gs:// URL, or nothing for the newest store here."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.control.errors import RequestError

RESULTS = "results"
"""The folder that the shipped specs keep their stores in."""


def store_of(where: str | None) -> str:
    """Return the store that `where` names; nothing means the one under `results/` that was launched last.

    Raises SpecError for a YAML file that names none, RequestError where nothing is named and there is no store.
    """
    if where is None:
        return _newest_store()
    if where.endswith((".yaml", ".yml")):
        return _named(where, "store")
    return where


def name_of(where: str | None) -> str | None:
    """Return the name that the spec at `where` has; None of anything else. Raises SpecError as `store_of` does."""
    return _named(where, "name") if where and where.endswith((".yaml", ".yml")) else None


def parted(words: Sequence[str], where: str | None = None) -> tuple[str | None, tuple[str, ...]]:
    """Return (WHERE, the rest) of words of which one may say where: a spec, a gs:// URL or the folder of a store.

    `where` is what an option said. Raises RequestError where two are named.
    """
    places = [word for word in words if _is_place(word)]
    rest = tuple(word for word in words if word not in places)
    named = list(dict.fromkeys([*places, *([where] if where is not None else [])]))
    if len(named) > 1:
        raise RequestError(f"{' and '.join(named)} are two stores; name one")
    return (named[0] if named else None), rest


def _is_place(word: str) -> bool:
    return "://" in word or word.endswith((".yaml", ".yml")) or Path(word, "FORMAT.json").is_file()


def _named(spec_file: str, key: str) -> str:
    """Return the spec's `store` or `name`; its runs, of which there may be thousands, are not expanded for that."""
    from dit_grid.experiments.spec.expand import load_spec
    from dit_grid.experiments.spec.source import read_yaml

    sections = read_yaml(Path(spec_file)).value
    named = sections[key].value if isinstance(sections, dict) and key in sections else None
    return named if named and isinstance(named, str) else str(getattr(load_spec(spec_file), key))  # or what is wrong


def figures_folder(store: str) -> str:
    """Return the folder for a store's figures: in the store, or of a bucket's here, where a person can look at them."""
    if "://" not in store:
        return f"{store}/figures"
    return f"{RESULTS}/{store.rstrip('/').rpartition('/')[2]}/figures"


def _newest_store() -> str:
    stores = [path.parent for path in Path(RESULTS).glob("*/FORMAT.json")]
    if not stores:
        raise RequestError(f"no store in {RESULTS}/; name a spec, a store or a gs:// URL, or launch one: "
                      "dit-grid launch experiments/digits.yaml")  # fmt: skip
    return str(max(stores, key=_last_attempt))


def _last_attempt(store: Path) -> float:
    attempts = store / "attempts"
    return (attempts if attempts.is_dir() else store).stat().st_mtime


def runs_matching(store: Store, patterns: Sequence[str]) -> dict[str, str]:
    """Return run id -> model of the store's runs that some pattern matches: an id, a model name, or a glob of either.

    Raises RequestError, naming what there is, for a pattern that matches nothing.
    """
    models = {row["run_id"]: row["model"] for row in store.runs(columns=["run_id", "model"]).to_pylist()}
    found: dict[str, str] = {}
    for pattern in patterns:
        matched = {i: m for i, m in models.items() if fnmatchcase(i, pattern) or fnmatchcase(m, pattern)}
        if not matched:
            near = get_close_matches(pattern, [*models.values(), *models], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RequestError(f"no run matches {pattern!r} in {store.paths.root}; it has "
                          f"{', '.join(sorted(set(models.values()))) or 'none'}{hint}")  # fmt: skip
        found |= matched
    return found
