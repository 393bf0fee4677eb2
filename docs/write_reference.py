"""Writes what is made from the code: the pages of reference, and the JSON Schema that the package ships.

python docs/write_reference.py            # writes all
python docs/write_reference.py --check    # exit status 1 if one is stale
"""

import sys
from pathlib import Path

import reference_commands
import reference_metrics
import reference_store

from dit_grid.experiments.spec.reference import page
from dit_grid.experiments.spec.schema import spec_schema_text

ROOT = Path(__file__).resolve().parents[1]


def made() -> dict[Path, str]:
    """File -> what it should hold."""
    return {
        ROOT / "docs/spec.md": page(),
        ROOT / "docs/reference/commands.md": reference_commands.page(),
        ROOT / "docs/reference/store-tables.md": reference_store.page(),
        ROOT / "docs/reference/metrics.md": reference_metrics.page(),
        ROOT / "experiments/spec/schema.json": spec_schema_text(),
    }


def main(check: bool) -> int:
    """Write what is stale, or with `check` name it; return the exit status."""
    stale = {path: text for path, text in made().items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/write_reference.py", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
