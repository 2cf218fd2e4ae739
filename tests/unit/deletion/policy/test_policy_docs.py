"""docs/policy.md lists every key of the policy with its default, and nothing else."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from lethe.deletion.policy import defaults
from lethe.deletion.policy.expressions import check_expression
from lethe.deletion.policy.model import (
    Answer,
    Approval,
    FieldMap,
    Hold,
    ModelRule,
    Notify,
    Policy,
    RegulationRule,
    RungRule,
    SecretRef,
    Shares,
    Source,
    Token,
)
from lethe.deletion.states import State

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
TABLES = {
    "The file": Policy,
    "`[approval]`": Approval,
    "`[[holds]]`": Hold,
    "`[regulations.NAME]`": RegulationRule,
    "`[models.NAME]`": ModelRule,
    "`approve_above`, `refuse_above`": Shares,
    "`ladder`": RungRule,
    "`[sources.NAME]`": Source,
    "`[sources.NAME.fields]`": FieldMap,
    "`[sources.NAME.answer]`": Answer,
    "Secrets": SecretRef,
    "`[[notify]]`": Notify,
    "`[[tokens]]`": Token,
}
# A source's name is its key in the file.
NOT_KEYS = {"name"}


def section(heading):
    after = PAGE.split(f"### {heading}\n", 1)[1]
    return re.split(r"^#{2,3} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading):
    table = section(heading).split("| key | default | |", 1)[1].split("\n\n", 1)[0]
    found = re.findall(r"^\| `(\w+)` \|([^|]*)\| .+\|$", table, re.MULTILINE)
    return {name: default.strip() for name, default in found}


def fields(model):
    hidden = NOT_KEYS if model is Source else set()
    found = {field.alias or name: field for name, field in model.model_fields.items()}
    return {name: field for name, field in found.items() if name not in hidden}


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_listed_and_no_other(heading):
    assert set(rows(heading)) == set(fields(TABLES[heading]))


@pytest.mark.parametrize("heading", TABLES)
def test_plain_defaults_are_those_of_the_code(heading):
    for name, field in fields(TABLES[heading]).items():
        shown = rows(heading)[name]
        if isinstance(field.default, bool | int | float):
            assert shown == f"`{str(field.default).lower()}`", name
        elif isinstance(field.default, str):
            assert shown == f'`"{field.default}"`', name
        elif field.default is PydanticUndefined and field.default_factory is None:
            by_kind = {"file_when", "cancel_when", "fields"}
            assert not shown or name in by_kind, name


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_has_a_description_in_the_code(heading):
    assert all(field.description for field in fields(TABLES[heading]).values())


def test_states_rights_and_functions_are_listed():
    assert all(f"`{state}`" in section("`[[notify]]`") for state in State)
    assert all(f"`{right}`" in section("`[[tokens]]`") for right in ("submit", "read", "approve"))
    for function in re.findall(r"^\| `(\w+)\(text\)` \|", PAGE, re.MULTILINE):
        assert check_expression(f"{function}(a)")


def test_defaults_by_kind_are_those_of_the_code():
    assert set(defaults.FIELDS) == set(defaults.FILE_WHEN) == set(defaults.CANCEL_WHEN)
    table = PAGE.split("## Defaults by kind", 1)[1]
    for kind in set(defaults.FIELDS) - {"cli"}:
        assert table.count(f"| `{kind}` |") == 2, kind
    for kind in ("github", "opendsr", "standard-webhooks"):
        assert f"`{defaults.FILE_WHEN[kind]}`" in table
    for expression in defaults.FIELDS["standard-webhooks"].values():
        assert f"`{expression}`" in table
    for ground in ("unspecified", "GDPR Art. 17", "wrong data"):
        assert ground in defaults.GROUNDS
        assert f"`{ground}`" in PAGE
