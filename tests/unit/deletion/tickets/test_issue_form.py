import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.tickets.issue_form import read_form

# As GitHub renders a form with an input, a dropdown, checkboxes, a textarea and one with `render`.
BODY = """### Model

digits@champion

### Data set (path in DVC)

data/digits

### Classes

- [X] 3
- [ ] 5
- [x] inner race

### Reason

Two lines,

and a gap.

### Ids

```text
p-1
### p-2
```

### Anything else

_No response_
"""
FORM = {
    "model": "digits@champion",
    "data_set_path_in_dvc": "data/digits",
    "classes": ["3", "inner race"],
    "reason": "Two lines,\n\nand a gap.",
    "ids": "p-1\n### p-2",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_form_is_read(newline):
    assert read_form(BODY.replace("\n", newline)) == FORM


def test_a_field_left_empty_is_not_there():
    assert "anything_else" not in read_form(BODY)
    assert read_form("### A\n\n### B\n\n  \n") == {}


def test_nothing_ticked_is_an_empty_list():
    assert read_form("### A\n\n- [ ] 3\n- [ ] 5") == {"a": []}


def test_a_list_that_is_not_all_checkboxes_is_text():
    assert read_form("### A\n\n- [x] 3\nand 5") == {"a": "- [x] 3\nand 5"}


def test_a_heading_that_comes_twice_is_no_value_at_all():
    form = read_form("### Subjects\n\np-1\n\n### Notes\n\nx\n\n### subjects\n\np-2")
    assert form == {"subjects": {"repeated": True}, "notes": "x"}


def test_a_code_block_that_is_never_closed_hides_nothing():
    assert read_form("### Notes\n\n```\nx\n\n### Subjects\n\np-1")["subjects"] == "p-1"


@pytest.mark.parametrize(
    "line", ["## Model", "#### Model", " ### Model", "###Model", "\u2003### M"]
)
def test_other_headings_are_text(line):
    assert read_form(f"### A\n\n{line}\n\nx") == {"a": f"{line}\n\nx".strip()}


def test_letters_that_look_alike_make_another_field():
    assert "model" not in read_form("### M\u043edel\n\nx\n\n### \uff2dodel\n\ny")


@given(
    st.text()
    | st.lists(st.sampled_from(["### a", "```", "~~~", "- [x] b", "", "c", "### "])).map("\n".join)
)
def test_any_text_is_read(text):
    assert isinstance(read_form(text), dict)


@pytest.mark.parametrize(
    "text",
    [
        "### a " + "# " * 200_000 + "x",
        "```x\n" * 80_000,
        "### a\n" * 60_000,
        "- [" * 99_000,
        "~~~~\n```x\n" * 40_000,
    ],
)
def test_time_grows_with_the_length_alone(text):
    start = time.perf_counter()
    read_form(text)
    assert time.perf_counter() - start < 2
