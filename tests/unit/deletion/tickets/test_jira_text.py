import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.tickets.jira_text import document_text, plain, plain_fields


def paragraph(*nodes):
    return {"type": "paragraph", "content": list(nodes)}


def text(value):
    return {"type": "text", "text": value, "marks": [{"type": "strong"}]}


DOCUMENT = {
    "version": 1,
    "type": "doc",
    "content": [
        {"type": "heading", "attrs": {"level": 2}, "content": [text("Please")]},
        paragraph(text("forget "), {"type": "hardBreak"}, text("these:")),
        {
            "type": "bulletList",
            "content": [
                {"type": "listItem", "content": [paragraph(text("p-1"))]},
                {"type": "listItem", "content": [paragraph(text("p-2"))]},
            ],
        },
        {
            "type": "table",
            "content": [
                {
                    "type": "tableRow",
                    "content": [
                        {"type": "tableHeader", "content": [paragraph(text("class"))]},
                        {"type": "tableCell", "content": [paragraph(text("3"))]},
                    ],
                }
            ],
        },
        {"type": "codeBlock", "attrs": {}, "content": [text("p-3\np-4")]},
        paragraph(
            {"type": "status", "attrs": {"text": "OPEN"}},
            text(" "),
            {"type": "inlineCard", "attrs": {"url": "https://example.org"}},
        ),
    ],
}


def test_a_document_becomes_its_lines():
    assert document_text(DOCUMENT) == (
        "Please\nforget\nthese:\np-1\np-2\nclass\t3\np-3\np-4\nOPEN https://example.org"
    )


def test_every_kind_of_field_becomes_text():
    fields = {
        "summary": "Forget",
        "description": DOCUMENT,
        "customfield_1": {"self": "https://example.org/1", "value": "data/digits", "id": "1"},
        "customfield_2": [{"value": "3"}, {"value": "5"}],
        "customfield_3": ["p-1", "p-2"],
        "customfield_4": 12,
        "priority": {"name": "High"},
        "customfield_5": None,
        "customfield_6": {},
        "customfield_7": True,
        "customfield_8": [],
    }
    found = plain_fields(fields)
    assert found.pop("description").startswith("Please\n")
    assert found == {
        "summary": "Forget",
        "customfield_1": "data/digits",
        "customfield_2": ["3", "5"],
        "customfield_3": ["p-1", "p-2"],
        "customfield_4": "12",
        "priority": "High",
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "doc"},
        {"type": "doc", "content": "x"},
        {"type": "doc", "content": [None, 1, "x", {"type": []}, {"type": "text", "text": 1}]},
        {"type": "doc", "content": [{"type": "mention", "attrs": None}]},
    ],
)
def test_a_broken_document_has_no_text(broken):
    assert plain(broken) == ""


nodes = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "attrs", "value"]), inner)
    ),
)


@given(nodes)
def test_any_value_is_read(value):
    found = plain(value)
    assert found is None or isinstance(found, str | list)
