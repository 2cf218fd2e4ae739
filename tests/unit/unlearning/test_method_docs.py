"""Every installed method has a page in docs/methods that says what the code does."""

import re
from pathlib import Path

import pytest

from lethe.unlearning.method import load_method, method_names

PAGES = Path(__file__).resolve().parents[3] / "docs" / "methods"
FORGETS = {"class": "class", "subject": "subjects", "samples": "samples"}


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", method_names())
def test_every_setting_is_listed_with_its_default(name):
    rows = re.findall(r"^\| `(\w+)` \| `?([\w.-]+)`? \|", page(name), flags=re.MULTILINE)
    fields = type(load_method(name)).model_fields
    assert dict(rows) == {name: str(field.default) for name, field in fields.items()}
    assert len(rows) == len(fields)


@pytest.mark.parametrize("name", method_names())
def test_the_page_says_what_is_needed_and_what_can_be_forgotten(name):
    text = page(name)
    assert f"(`{name}`)" in text.splitlines()[0]
    forgets = load_method(name).forgets
    for kind, word in FORGETS.items():
        said = re.search(r"Forgets ([^.]+)\.|^Forgets whole classes", text, flags=re.MULTILINE)
        assert said
        assert (word in said[0]) == (kind in forgets)


def test_the_overview_names_every_method():
    listed = re.findall(r"^\| \[`(\w+)`\]\(\1\.md\)", page("README"), flags=re.MULTILINE)
    assert sorted(listed) == method_names()
