"""docs/evaluation_benchmark.md says what the code does, and requests never come near it."""

import re
from pathlib import Path

import torch

from lethe.evaluation.shadow import idi, information, klom, margins, svc_mia, tow, u_lira

ROOT = Path(__file__).parents[4]
TEXT = ROOT.joinpath("docs/evaluation_benchmark.md").read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
FUNCTIONS = [
    u_lira.u_lira,
    klom.klom,
    idi.idi,
    tow.tow,
    tow.tow_mia,
    tow.average_gap,
    svc_mia.svc_mia,
]


def test_every_function_is_in_the_table_and_has_a_section():
    body = TEXT.split("| function |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE) == [f.__name__ for f in FUNCTIONS]
    headings = " ".join(re.findall(r"^## (.+)$", TEXT, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", headings)) == {f.__name__ for f in FUNCTIONS}


def test_named_fields_and_arguments_exist():
    for result, names in (
        (u_lira.ULira, ("balanced_accuracy", "auc", "per_example", "p_value")),
        (u_lira.ULira, ("per_example_by_chance",)),
        (klom.Klom, ("by_chance",)),
        (svc_mia.SvcMia, ("efficacy", "attack_accuracy")),
    ):
        for name in names:
            assert f"`{name}`" in TEXT
            assert name in result.model_fields


def test_numbers_are_those_of_the_code():
    for number, written in (
        (u_lira.MIN_MODELS == 3, "at least 3 unlearned and 3 retrained"),
        (u_lira.FEW_MODELS == 64, "Below 64 models a side"),
        (klom.PUBLISHED_MODELS == 100, "published with 100 of each"),
        (klom.BINS == 20, "20 bins"),
        (klom.SMOOTHING == 1e-5, "get 1e-5"),
        (margins.CLIP == 100, "clipped to ±100"),
        (information.LANDMARKS == 64, "64 radial landmarks"),
        (information.FOLDS == 5, "five folds"),
        (idi.CLEAR == 3, "three standard errors"),
    ):
        assert number
        assert written in WORDS


def test_the_example_runs(capsys):
    code = TEXT.split("```python\n", 1)[1].split("```", 1)[0]
    torch.manual_seed(0)
    scope = {
        "logits_of_unlearned": list(torch.randn(4, 6, 3)),
        "logits_of_retrained": list(torch.randn(3, 6, 3)),
        "labels": torch.tensor([0, 1, 2, 0, 1, 2]),
    }
    exec(code, scope)  # noqa: S102 (our own page)
    found = scope["found"]
    assert (found.unlearned_models, found.retrained_models, found.examples) == (4, 3, 6)
    assert str(found.balanced_accuracy) in capsys.readouterr().out


def test_an_import_contract_keeps_it_out_of_requests():
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = contracts.split('forbidden_modules = ["lethe.evaluation.shadow"]')[0]
    sources = contract.rsplit("source_modules = ", 1)[1]
    assert {"cli", "flows", "tasks", "model_registry"} <= set(re.findall(r'"(\w+)"', sources))
    for module in (margins, u_lira, klom, idi, information, tow, svc_mia):
        assert "For benchmarks only" in module.__doc__
