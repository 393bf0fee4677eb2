"""The pages tell the truth: links and anchors lead somewhere, commands exist, generated pages are not stale."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
import yaml

from dit_grid.experiments.spec.schema_file import FILE
from dit_grid.orchestrator.commands.cli import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = sorted(DOCS.rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *SITE, *sorted(ROOT.glob("examples/**/*.md")), *sorted(ROOT.glob("findings/*.md"))]
FENCE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(page):
    return page.relative_to(ROOT).as_posix()


def prose(page):
    """The page without its code, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "`", FENCE.sub("", page.read_text("utf-8")))


def anchors(page):
    """The anchors of a page's headings, where GitHub's rule and Python-Markdown's give the same."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), flags=re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"\s", "-", word) for word in words} & {re.sub(r"[-\s]+", "-", word) for word in words}


def broken(page):
    """Links of a page within this repository that lead nowhere."""
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if ":" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_an_anchor(page):
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", SITE, ids=named)
def test_a_page_of_the_site_links_to_pages_of_the_site_alone(page):
    paths = [link.partition("#")[0] for link in LINK.findall(prose(page)) if ":" not in link]
    assert [path for path in paths if not (page.parent / path).resolve().is_relative_to(DOCS)] == []


def pages_of(nav):
    """The pages below an entry of the site's navigation, in its order."""
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages_of(value)


def test_the_site_has_every_page_and_the_readme_leads_to_each():
    nav = list(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    pages = {page.relative_to(DOCS).as_posix() for page in SITE}
    assert sorted(nav) == sorted(pages)
    linked = set(LINK.findall((ROOT / "README.md").read_text("utf-8")))
    assert {f"docs/{page}" for page in pages - {"index.md"}} <= linked


def test_what_is_made_from_the_code_is_not_stale():
    done = subprocess.run([sys.executable, DOCS / "write_reference.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def command_lines(page):
    """Every `dit-grid …` that stands as code in a block of its own, with what was broken joined."""
    text = re.sub(r"^```text\n.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^(?:    )?(?:uv run |\S+=\S+ )?(dit-grid .+)$", text, flags=re.MULTILINE)
    return [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("dit-grid ")]


def misread(line):
    """What the command line would not understand of it: an unknown command, option or value. Nothing is run."""
    words = shlex.split(re.sub(r"\s{2,}[^-'\"\s].*$", "", line), comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli)
    try:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(context, words[0])
            if found is None:
                return f"{line}: no command {words[0]}"
            command, words = found, words[1:]
        command.make_context("dit-grid", words)
    except click.exceptions.Exit:  # --help and --version
        return None
    except click.UsageError as error:
        return f"{line}: {error.format_message()}"
    return None


@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page)], ids=named)
def test_every_command_that_stands_as_code_is_understood(page):
    assert [said for line in command_lines(page) if (said := misread(line))] == []


HOW_TO = sorted(DOCS.glob("how-to/*.md"))
BASE = {
    "name": "x", "store": "x", "grid": {"seed": [0]}, "data": {"name": "digits"}, "train": {"steps": 2},
    "model": {"size": "S", "patch": 2, "image_size": 8, "channels": 1}, "evaluate": {"every": 2, "settings": []},
}  # fmt: skip
OWN = {"name": "x", "store": "x", "trainer": "x:y", "train": {"steps": 2}}


def test_every_piece_of_yaml_of_the_how_tos_is_what_a_spec_takes():
    validator = jsonschema.Draft7Validator(json.loads(FILE.read_text("utf-8")))
    wrong, seen = [], 0
    for page in HOW_TO:
        for text in re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL):
            piece = yaml.safe_load(text)
            if "run" in piece:  # the mapping of an import
                continue
            seen += 1
            whole = (OWN if piece.keys() & {"trainer", "config", "metrics"} else BASE) | piece
            wrong += [f"{page.name}: {error.message}" for error in validator.iter_errors(whole)]
    assert wrong == []
    assert seen > 8


def test_the_features_of_the_how_to_are_a_feature_network():
    import numpy as np

    from dit_grid.experiments.networks.features import FeatureNetwork

    text = (DOCS / "how-to" / "own-metric.md").read_text("utf-8")
    names: dict = {}
    exec(re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)[0], names)
    network = names["make"](None)
    assert isinstance(network, FeatureNetwork)
    assert network.extract(np.zeros((2, 4, 4, 3), np.uint8))["pool"].shape == (2, 48)
