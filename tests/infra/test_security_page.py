"""SECURITY.md names tests that there are, for each of the threats that it is about."""

import ast
import re

import infra_files as files
import pytest

PAGE = files.read(files.ROOT / "SECURITY.md")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def functions(path):
    tree = ast.parse(files.read(files.ROOT / path))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)), ids=lambda word: word[-40:])
def test_every_named_test_is_there(path, name):
    assert (files.ROOT / path).is_file()
    assert not name or name in functions(path)


def test_each_threat_has_an_answer_and_a_test():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    rows = [row for row in rows if row[0] not in {"threat", "---"}]
    assert len(rows) > 25
    for threat, answer, test in rows:
        assert answer.strip(), threat
        assert "::test_" in test, threat


@pytest.mark.parametrize(
    "threat", ["Forged tickets", "Poisoned requests", "A curious operator", "A stolen worker"]
)
def test_the_threats_that_lethe_is_about_are_there(threat):
    section = PAGE.split(f"### {threat}\n", 1)[1].split("\n#", 1)[0]
    assert section.count("::test_") >= 5


def test_it_is_linked_where_people_look():
    assert "SECURITY.md" in files.read(files.ROOT / "docs" / "deployment.md")
    for target in re.findall(r"\]\(([^)#\s]+)\)", PAGE):
        assert (files.ROOT / target).exists()
