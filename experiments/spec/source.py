"""YAML as a tree whose every value knows its file and line, so that a mistake can be pointed at after merging.

What the values mean, and how one run is put together from them, is `dit_grid.experiments.spec.expand`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LARGEST = 2**63 - 1
"""The largest whole number that the store, NumPy and JAX can hold; of no setting is more than a mistake."""


LONGEST = 10_000_000
"""Characters of the longest file that is read as a spec: fifty thousand runs, each with settings of its own."""


def shown(value: Any) -> str:
    """Return a value as it is quoted in a message: whole if short, else its beginning and how long it is."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text):,} characters)"


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec: where it stands, the field's path in dots, and what is wrong with it."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return where + (f"{self.path}: " if self.path else "") + self.message


class SpecError(ValueError):
    """Every mistake found in a spec, one a line. `sound` are runs whose needs can be looked at."""

    def __init__(self, problems: list[Problem], sound: Sequence[Any] = ()) -> None:
        self.sound = tuple(sound)
        self.problems = list(dict.fromkeys(problems))  # twelve runs share most of their lines
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Located:
    """A YAML value with the place it was written at; mappings and lists hold Located values in turn."""

    value: Any
    file: str
    line: int

    def plain(self) -> Any:
        """Return the value without its places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> "Located":
        """Return the deepest value on `path` that was written down."""
        if path:
            inside = self.value
            if isinstance(inside, dict) and path[0] in inside:
                return inside[path[0]].at(path[1:])
            if isinstance(inside, list) and isinstance(path[0], int) and path[0] < len(inside):
                return inside[path[0]].at(path[1:])
        return self

    def merged(self, over: "Located") -> "Located":
        """Return this tree with `over` laid on top: mappings merge key by key, anything else is replaced."""
        if not (isinstance(self.value, dict) and isinstance(over.value, dict)):
            return over
        merged = dict(self.value)
        for key, item in over.value.items():
            merged[key] = merged[key].merged(item) if key in merged else item
        return Located(merged, over.file, over.line)

    def nested(self, dotted: str) -> "Located":
        """Return a mapping that holds this value under `dotted`, e.g. `model.size`."""
        tree = self
        for key in reversed(dotted.split(".")):
            tree = Located({key: tree}, self.file, self.line)
        return tree


A_SPEC = "a spec is a mapping that starts with `name:`"


def read_yaml(path: Path, expected: str = A_SPEC) -> Located:
    """Return the file's tree; `expected` is said of one that is no mapping.

    SpecError where it cannot be read, is no YAML mapping, or gives a key twice.
    """
    file = str(path)
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(LONGEST + 1)
    except FileNotFoundError:
        raise SpecError([Problem(file, 0, "", "no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(file, 0, "", f"cannot be read: {error}")]) from None
    if len(text) > LONGEST:
        raise SpecError(
            [Problem(file, 0, "", f"more than {LONGEST:,} characters: no spec is so long; is it another file?")]
        )
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise SpecError([Problem(file, mark.line + 1 if mark else 0, "", f"not YAML: {reason}")]) from None
    if not isinstance(node, yaml.MappingNode):
        raise SpecError([Problem(file, 1, "", f"holds no settings; {expected}")])
    reading = _Reading(file)
    tree = reading.located(node, "")
    if reading.problems:
        raise SpecError(reading.problems)
    return tree


class _Reading:
    """Turns one file's YAML nodes into Located values and collects what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._seen: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()

    def located(self, node: yaml.Node, path: str) -> Located:
        line = node.start_mark.line + 1
        if id(node) in self._seen:  # expanding aliases lets ten lines of YAML fill the memory
            return self._problem(
                line, path, "an alias; anchors and aliases are not read, share settings by `overrides`"
            )
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return Located(self._mapping(node, path), self.file, line)
        if isinstance(node, yaml.SequenceNode):
            return Located([self.located(n, f"{path}[{i}]") for i, n in enumerate(node.value)], self.file, line)
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            return self._problem(line, path, f"got {shown(node.value)}: {str(getattr(error, 'problem', error))[:200]}")
        except (
            LookupError,
            AttributeError,
        ):  # PyYAML takes any text for a truth value or a date
            return self._problem(line, path, f"got {shown(node.value)}, which is no {node.tag.rpartition(':')[2]}")
        if fault := _fault(value):
            return self._problem(line, path, f"got {shown(node.value)}; {fault}")
        return Located(value, self.file, line)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Located]:
        mapping: dict[str, Located] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            here = f"{path}.{key}" if path else key
            if not key or key == "<<":
                self._problem(line, path, "a key must be a plain name; share settings by `overrides`")
            elif fault := _fault(key):
                self._problem(line, path, f"got the key {shown(key)}; {fault}")
            elif key in mapping:
                self._problem(line, here, f"given twice, first on line {mapping[key].line}")
            else:
                mapping[key] = self.located(value_node, here)
        return mapping

    def _problem(self, line: int, path: str, message: str) -> Located:
        self.problems.append(Problem(self.file, line, path, message))
        return Located(None, self.file, line)


def _fault(value: Any) -> str:
    """Return what no setting may be, whatever it means: a number that nothing can hold, text that no file can."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number must be at most {LARGEST}"
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        return "text must not hold NUL or half a character"
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
