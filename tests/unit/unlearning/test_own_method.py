"""The method of docs/methods/own.md works as it stands there, found like any installed one."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, load_method, method_names

PAGE = Path(__file__).resolve().parents[3] / "docs" / "methods" / "own.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The page's module beside the metadata that `pip install` would make of its project file."""
    (project,) = [tomllib.loads(block) for block in blocks("toml")]
    about = project["project"]
    (module,) = project["tool"]["setuptools"]["py-modules"]
    (tmp_path / f"{module}.py").write_text(blocks("python")[0], encoding="utf-8")
    info = tmp_path / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    lines = [
        line
        for group, points in about["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {where}" for name, where in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield module
    sys.modules.pop(module, None)


def test_it_is_as_short_as_is_said():
    assert blocks("python")[0].count("\n") < 40


def test_it_is_found_by_name_once_installed(installed):
    assert "flatten" in method_names()
    method = load_method("flatten", {"epochs": 3})
    assert type(method).__module__ == installed
    assert method.epochs == 3
    with pytest.raises(MethodError, match="does not accept these options: depth"):
        load_method("flatten", {"depth": 1})


def test_it_is_not_there_otherwise():
    """A negative control."""
    with pytest.raises(MethodError, match="no unlearning method 'flatten'"):
        load_method("flatten")


@pytest.mark.usefixtures("installed")
def test_the_page_s_own_test_passes():
    names: dict[str, object] = {}
    exec(compile(blocks("python")[1], str(PAGE), "exec"), names)  # noqa: S102 (our own page)
    tests = [found for name, found in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


@pytest.mark.usefixtures("installed")
def test_it_forgets_a_class_of_digits_and_leaves_what_was_asked_of_single_rows(digits):
    method, context = load_method("flatten"), Context(seed=0)

    def forget(target):
        found = method.probe(digits.model, target, context)
        return method.edit(digits.model, target, found, context)

    edit = forget(ForgetTarget(digits.of_class(3), "class", (3,)))
    assert edit.stopped.startswith("Forgotten after")
    assert digits.accuracy(digits.model, 3) > 0.9
    assert digits.accuracy(edit.model, 3) < 0.1
    assert digits.accuracy(edit.model, *(c for c in range(10) if c != 3)) > 0.7
    rows = TensorRows(digits.rows.x[:40], digits.rows.y[:40])
    assert forget(ForgetTarget(rows, "samples")).curves["forget_accuracy"][-1] <= 0.9
