"""The benchmarks of the intake service, whose claims are tested here at a smaller size."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def _load(name):
    # They share modules, and their sender processes import them by name.
    sys.path.insert(0, str(BENCHMARKS))
    return importlib.import_module(name)


@pytest.fixture(scope="session")
def kill_benchmark():
    return _load("intake")


@pytest.fixture(scope="session")
def fuzz_benchmark():
    return _load("fuzz")
