"""The claim of benchmarks/streaming.py, at a smaller size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "streaming.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc"),
]


# PTE reads them too.
@pytest.mark.parametrize(
    "flags", [pytest.param(["--read-only"], marks=pytest.mark.exhaustive), []], ids=["read", "pte"]
)
def test_a_forget_set_ten_times_the_budget_stays_within_it(flags):
    command = [sys.executable, str(BENCHMARK), "--budget-mib", "24", "--selected-mib", "240"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["selected_mib"] >= 10 * found["budget_mib"]
    assert found["above_mib"] <= found["budget_mib"]


def test_the_measure_notices_rows_held_in_memory():
    command = [sys.executable, str(BENCHMARK), "--budget-mib", "24", "--selected-mib", "96"]
    done = subprocess.run(
        [*command, "--hold", "--read-only"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["above_mib"] > 96
