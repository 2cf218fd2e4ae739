"""Which code a figure depends on."""

import sys

import pytest

from tasks.benchmark.sources import source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package where `a` imports `b` inside a function, and nobody imports `c`."""
    folder = tmp_path / "made_for_digests"
    folder.mkdir()
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from made_for_digests import b\n    import os\n    return b, os\n",
        "b.py": "x = 1\n",
        "c.py": "x = 1\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    source_digest.cache_clear()
    sys.modules.pop("made_for_digests", None)


def digest():
    source_digest.cache_clear()
    return source_digest("made_for_digests.a")


@pytest.mark.parametrize(("file", "matters"), [("a.py", True), ("b.py", True), ("c.py", False)])
def test_a_change_matters_where_it_is_imported(package, file, matters):
    before = digest()
    with (package / file).open("a", encoding="utf-8") as opened:
        opened.write("y = 2\n")
    assert (digest() != before) is matters


def test_a_method_depends_on_what_it_shares_and_not_on_its_neighbours():
    from tasks.benchmark.sources import _imported, _path

    assert source_digest("lethe.unlearning.pte") != source_digest("lethe.unlearning.delete")
    import ast

    names = set(_imported(ast.parse(_path("lethe.unlearning.pte").read_text(encoding="utf-8"))))
    assert "lethe.unlearning.push_pull" in names
    assert "lethe.unlearning.scrub" not in names
