"""Takes the README's pictures of a store: the law's figure, and the served page as a headless Chromium shows it.

    dit-grid launch experiments/digits.yaml && python docs/take_pictures.py results/digits

Both become PNGs of 256 colours in `docs/pictures`; the page is served by `dit-grid serve` as a person would.
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "analysis"))
from headless import Browser, Page, chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1180, 1330
"""Of the page's window, in pixels: the first screen and the first plots."""
FIGURE_WIDTH = 900


def saved(picture: Image.Image, name: str) -> None:
    """Write a picture with a palette, a quarter of the bytes."""
    few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(PICTURES / name, optimize=True)


def served_page(store: str) -> bytes:
    """A PNG of the store's live page, once its plots are drawn."""
    command = [sys.executable, "-u", "-m", "dit_grid.orchestrator", "serve", store, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        try:
            with Browser(chromium() or "chromium") as browser, Page(browser) as page:
                page.open(address, WIDTH, HEIGHT)
                page.ask("new Promise(done => setTimeout(done, 3000))")  # what to run next is reckoned meanwhile
                return page.picture(whole=False)
        finally:
            server.terminate()


def main(store: str) -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    law = Image.open(Path(store) / "figures" / "figure08_compute.png")
    saved(law.resize((FIGURE_WIDTH, round(law.height * FIGURE_WIDTH / law.width)), Image.Resampling.LANCZOS), "law.png")
    saved(Image.open(io.BytesIO(served_page(store))), "live.png")


if __name__ == "__main__":
    main(sys.argv[1])
