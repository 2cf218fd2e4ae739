"""The command starts fast: heavy packages wait until they are needed."""

import json
import time
from importlib.metadata import version

import pytest

HEAVY = {"torch", "mlflow", "prefect", "dvc", "pyarrow", "matplotlib", "sklearn", "pandas", "boto3"}
IMPORTED = """
import json, sys
from cli.main import main
sys.argv = ["lethe", *{words!r}]
try:
    main()
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


def imported(process, *words):
    found = process(code=IMPORTED.format(words=words))
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stderr.splitlines()[-1]))


def test_help_answers_within_half_a_second(process):
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        assert process("--help").returncode == 0
        seconds.append(time.perf_counter() - started)
        if seconds[-1] < 0.5:
            break  # a busy machine may need another try, not a slow command
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    "words", [("--help",), ("unlearn", "--help"), ("model", "list", "--help"), ("--version",)]
)
def test_help_imports_nothing_heavy(process, words):
    assert not imported(process, *words) & HEAVY


def test_the_check_would_notice(process):
    found = process(code="import sys, pyarrow; print(*sys.modules)")
    assert "pyarrow" in found.stdout.split()


def test_settings_are_shown_without_torch_mlflow_or_prefect(process):
    assert not imported(process, "config", "show") & {"torch", "mlflow", "prefect"}


def test_version(process):
    found = process("--version")
    assert (found.returncode, found.stdout) == (0, f"lethe {version('lethe')}\n")


def test_without_a_command_it_shows_help(process):
    found = process()
    assert found.returncode == 2
    assert "Commands:" in found.stdout + found.stderr
