"""`lethe benchmark` refuses wrong input before any work, and shows what a file holds."""

import pytest

from lethe.errors import DataError, MethodError, SettingsError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder: whoever gets to the data there fails in another way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], SettingsError, "Name a data set with --data"),
        (["--data", "digits", "--methods", "ptee"], MethodError, "no unlearning method 'ptee'"),
        (["--data", "digits", "--methods", "calibrated"], MethodError, "selects by class"),
        (
            ["--data", "watch", "--subjects", "all", "--methods", "pte"],
            MethodError,
            "selects by subject",
        ),
        (["--data", "digits", "--budget", "1"], SettingsError, "search of one trial"),
        (["--data", "digits", "--classes", "1", "--subjects", "0"], SettingsError, "two kinds"),
        (["--data", "watch", "--subjects", "anna"], SettingsError, "no list of positions"),
        (["--data", "digits", "--option", "epochs=3"], SettingsError, "for which method"),
        (
            ["--data", "digits", "--methods", "pte", "--option", "delete.epochs=3"],
            SettingsError,
            "delete, which is not compared",
        ),
        (
            ["--data", "digits", "--methods", "pte", "--option", "pte.epochs=none"],
            MethodError,
            "does not accept these options",
        ),
        (["--data", "digits", "--recipe", "epochs"], SettingsError, "--recipe 'epochs' is not"),
        (["--show", "nothing.parquet"], DataError, "There is no file"),
    ],
)
def test_wrong_input_is_refused_before_any_work(folder, lethe, words, kind, message):
    code, printed, error = lethe("benchmark", *words)
    assert code == kind.exit_code
    assert message in error
    assert not printed
    assert not (folder / "state" / "benchmark").exists()


def test_a_class_or_person_that_is_not_there_is_refused():
    import numpy as np
    import torch

    from lethe.data.rows import TensorRows
    from tasks.benchmark.rows import Splits, class_targets, subject_targets

    rows = TensorRows(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1]))
    people = (np.array([0, 0, 1, -1]),) * 2
    splits = Splits("tiny", rows, rows, ("a", "b"), "0" * 32, people)
    with pytest.raises(DataError, match="tiny has no class c; it has a, b"):
        class_targets(splits, ["a", "c"])
    with pytest.raises(DataError, match="2 people, at positions 0 to 1"):
        subject_targets(splits, [2])
    assert [one.name for one in subject_targets(splits, None)] == ["person 0", "person 1"]
    (person,) = subject_targets(splits, [1])
    parts = splits.parts(person)
    assert [len(parts[part]) for part in parts] == [1, 3, 1, 3]
    assert person.forgotten == ()


def test_rows_per_class_are_the_first_of_each_in_stored_order():
    import torch

    from tasks.benchmark.rows import first_of_each

    labels = torch.tensor([1, 0, 1, 1, 0, 2])
    assert first_of_each(labels, 2).tolist() == [0, 1, 2, 4, 5]
    assert first_of_each(labels, 0).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_default_methods_are_all_that_can_forget_this_and_retraining():
    from tasks.benchmark.plan import Plan

    by_class, by_person = (
        Plan(data=("digits",), kind=kind).chosen for kind in ("class", "subject")
    )
    assert by_class[0] == by_person[0] == "retrain"
    assert {"pte", "delete", "scrub", "ssd"} <= set(by_class)
    assert "calibrated" not in by_class
    assert "calibrated" in by_person
    assert "pte" not in by_person


def test_a_changed_recipe_is_checked_and_stands_in_the_files_name():
    from lethe.models.training import TrainingSettings
    from tasks.benchmark.plan import Plan, changed_recipe
    from tasks.benchmark.steps import file_name

    recipe = TrainingSettings(network="lethe.models.networks:digits_cnn", epochs=10)
    changes = {"network": "lethe.models.networks:resnet18_cifar", "network_kwargs": {"width": 8}}
    changed = changed_recipe(recipe, changes)
    assert (changed.network, changed.network_kwargs, changed.epochs) == (*changes.values(), 10)
    plan = Plan(data=("digits",), recipe={**changes, "epochs": 5}, rows_per_class=100, budget=8)
    assert file_name(plan, "digits") == (
        "comparison_digits_epochs_5_resnet18_cifar_network_kwargs_width_8_100_per_class_budget_8"
    )
    assert file_name(Plan(data=("digits",)), "digits") == "comparison_digits"
    for wrong in ({"epochs": 0}, {"speed": 3}):
        with pytest.raises(SettingsError, match="Nothing was measured"):
            changed_recipe(recipe, wrong)


def test_who_stops_it_hears_that_what_was_measured_is_kept(folder, lethe, monkeypatch):
    import flows.benchmark

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(flows.benchmark, "benchmark", stopped)
    monkeypatch.setattr("cli.environment.prepare_environment", lambda *_, **__: None)
    code, printed, error = lethe("benchmark", "--data", "digits", "--methods", "pte")
    assert code == 130
    assert not printed
    assert "give the same command again" in error
    assert str(folder / "state" / "benchmark") in error.replace("\n", "")
