"""The served page in a browser: what is flushed is drawn without a click, and a thousand runs stay usable."""

import time

import pytest

LAST = "document.querySelector('#plot-loss').series.find(s => s.run.id === 'xl-2-000000').steps.at(-1)"


def wait_for(tab, expression, wanted, within_s):
    """Seconds until the expression has the value."""
    began = time.monotonic()
    while tab.ask(expression) != wanted:
        assert time.monotonic() - began < within_s, tab.ask(expression)
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_flush_is_on_the_screen_within_two_seconds_and_the_law_follows(half_done, served, goes_on, planted, headless):
    with served(half_done) as server, headless() as tab:
        tab.open(f"http://127.0.0.1:{server.port}/", 390)
        wait_for(tab, "document.querySelector('#live').textContent.startsWith('live')", True, 5)
        assert tab.ask(LAST) == 1000
        goes_on(half_done, "xl-2-000000", [1600])
        assert wait_for(tab, LAST, 1600, 4) < 2
        row = planted.eval_row({"run_id": "xl-2-000000"}, "fd_conv", 0.02, 2000)
        goes_on(half_done, "xl-2-000000", [2000], {k: v for k, v in row.items() if v is not None})
        wait_for(tab, "document.querySelector('#head').innerText.includes('Ten times the compute')", True, 20)
        tab.ask("location.hash = 'run=xl-2-000000'")
        wait_for(tab, "document.querySelector('#run').innerText.includes('not ended')", True, 5)
        assert tab.errors == []


@pytest.mark.slow
def test_a_page_that_was_open_before_the_first_run_gets_sizes_colours_and_plots(tmp_path, served, planted, headless):
    from dit_grid.experiments.store import Store

    Store.create(tmp_path / "store")
    with served(str(tmp_path / "store")) as server, headless() as tab:
        tab.open(f"http://127.0.0.1:{server.port}/", 1280)
        assert tab.ask("document.querySelector('h1').textContent") == "Nothing was measured yet"
        planted.store(tmp_path / "store", sizes={"S": (32, 2), "B": (48, 3)}, patches=(8, 4))
        wait_for(tab, "document.querySelector('#plot-law')?.series?.length", 4, 20)
        first = "getComputedStyle(document.querySelector('#plot-law .mark')).fill"
        assert tab.ask(first) not in ("rgb(0, 0, 0)", "none")
        assert tab.errors == []


@pytest.mark.slow
def test_a_thousand_runs_are_painted_within_a_second_and_take_sixty_megabytes(tmp_path, served, planted, headless):
    sizes = {f"W{k}": (16 + 4 * k, 2 + k % 4) for k in range(25)}
    where = planted.store(tmp_path / "store", sizes=sizes, patches=(8, 4), seeds=range(20), noise=0.1)
    with served(where) as server, headless() as tab:
        assert len(server.feed.page()) < 8e6
        tab.open(f"http://127.0.0.1:{server.port}/", 1280)
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        assert tab.ask(paint) < 1000
        assert tab.ask("document.querySelector('#plot-law').series.length") == 1000
        tab.call("HeapProfiler.enable")
        tab.call("HeapProfiler.collectGarbage")
        assert tab.ask("performance.memory.usedJSHeapSize") < 60e6
        began = time.monotonic()
        tab.ask("{const f = document.querySelector('#filter'); f.value = 'W3/8'; f.dispatchEvent(new Event('input'))}")
        assert time.monotonic() - began < 1.0
        assert tab.ask("document.querySelector('#plot-law').series.length") == 20
        assert tab.errors == []
