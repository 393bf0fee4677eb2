"""One of a thing is told in the singular, with its verb."""

from dit_grid.model.plurals import counted, has, was


def test_one_is_not_many():
    assert [counted(n, "run") for n in (0, 1, 2, 12_000)] == ["0 runs", "1 run", "2 runs", "12,000 runs"]
    assert counted(2, "box", "boxes") == "2 boxes"
    assert (was(1), was(0), has(1), has(2)) == ("was", "were", "has", "have")
