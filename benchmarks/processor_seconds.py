"""What each test file takes of a processor, the processes that it waits for included; a plugin of pytest.

    PYTHONPATH=benchmarks uv run pytest -p processor_seconds

Ends with a table of the files that take two seconds and more, and the sum of all, collection in each worker included.
Ray's own processes are nobody's children and not in it: a launch of two small runs takes about ten seconds more.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

LEAST_S = 2.0


def spent_s() -> float:
    """Return the processor seconds of this process and of those it has waited for."""
    return sum(os.times()[:4])


class ProcessorSeconds:
    """Measures in the processes that run tests, and adds up in the one that reports."""

    def __init__(self) -> None:
        self.by_file, self.since = Counter[str](), 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
        report = yield
        if call.when == "teardown":
            now = spent_s()
            report.user_properties.append(("processor_s", now - self.since))
            self.since = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.by_file[report.nodeid.split("::")[0]] += dict(report.user_properties)["processor_s"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("processor seconds")
        for name, seconds in self.by_file.most_common():
            if seconds >= LEAST_S:
                terminalreporter.write_line(f"{seconds:7.1f}  {name}")
        terminalreporter.write_line(f"{sum(self.by_file.values()):7.1f}  all")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin; the first test of a process counts its start and the collection too."""
    config.pluginmanager.register(ProcessorSeconds(), "processor-seconds")
