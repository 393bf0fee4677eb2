"""Sentences break between words where the terminal ends; paths, commands and what goes into a pipe stay whole."""

import pytest

from dit_grid.orchestrator.screen.prose import print_text


def test_a_long_line_breaks_between_words(terminal, capsys):
    terminal(20)
    print_text("Law\n  exponent -1.3; converged")
    assert capsys.readouterr().out.splitlines() == ["Law", "  exponent -1.3;", "    converged"]


def test_in_a_pipe_a_line_stays_whole(capsys):
    print_text("  exponent -1.3; " * 20)
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    ["`dit-grid cluster experiments/grid.yaml --kind kuberay-v3`", "plan: {slices: {v3-256: 1, v3-128: 1, v3-64: 3}}"],
)
def test_no_line_breaks_inside_what_somebody_copies(command, terminal, capsys):
    terminal(80)
    for before in range(20, 76):
        print_text(f"{'x ' * (before // 2)}{command} and more of it, so that the line is too long for the terminal")
        lines = capsys.readouterr().out.splitlines()
        assert any(command in line for line in lines)
        assert max(map(len, lines)) <= 80
    print_text(f"    dit-grid suggest {'long ' * 20}-o next.yaml")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_path_stays_whole_and_standard_error_has_a_width_of_its_own(monkeypatch, capsys):
    path = f"weights/{'long-' * 10}name.safetensors"
    print_text(f"a launch needs: {path}: no such file or folder", err=True)
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setenv("COLUMNS", "40")
    print_text(f"a launch needs: {path}: no such file or folder", err=True)
    said = capsys.readouterr()
    assert said.err.splitlines() == ["a launch needs:", f"  {path}:", "  no such file or folder"]
    assert not said.out
