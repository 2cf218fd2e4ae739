import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.policy.expressions import ExpressionError, check_expression, search

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("split(t)", ["a", "inner race", "b", "c"]),
        ("lines(t)", ["a, inner race;", "b", "c,"]),
        ("lower('ABC')", "abc"),
        ("trim(' a b ')", "a b"),
        ("split(gone)", None),
        ("lines(gone)", None),
        ("lower(gone)", None),
        ("trim(gone)", None),
        ("split(l)", ["x", "y, z"]),
        ("lines(l)", ["x", "y, z"]),
        ("split(l[0])", ["x"]),
        ("length(split(t))", 4),
        ("'data/digits'", "data/digits"),
        ("people[?kind == 'id'].value", ["7"]),
    ],
)
def test_what_expressions_find(expression, found):
    payload = {
        "t": " a, inner race;\n b \r\n\nc,",
        "l": ["x", "y, z"],
        "people": [{"kind": "id", "value": "7"}, {"kind": "mail", "value": "8"}],
    }
    assert search(check_expression(expression), payload) == found


@pytest.mark.parametrize(
    "expression",
    ["", "a ||", "digits@champion", 'a."b', "a[", "nosuch(a)", "split()", "split(a, b)", "merge()"],
)
def test_a_misspelt_expression_is_noticed_before_any_ticket(expression):
    with pytest.raises(ValueError, match=r"JMESPath|no function|arguments") as caught:
        check_expression(expression)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "expression", ["not_null(a, b, c)", "merge(a, b)", "max_by(a, &length(b))"]
)
def test_functions_with_any_number_of_arguments_and_inner_expressions_are_known(expression):
    assert check_expression(expression) == expression


def test_a_misspelt_function_inside_another_is_noticed():
    with pytest.raises(ValueError, match="lenght"):
        check_expression("a[?lenght(b) > `2`].sort_by(@, &c)")


@pytest.mark.parametrize("expression", ["split(a)", "lower(a)", "join(',', a)", "to_string(a)"])
@given(value=json_values)
def test_an_expression_that_cannot_be_applied_says_nothing_of_the_payload(expression, value):
    error = None
    try:
        search(expression, {"a": value})
    except ExpressionError as caught:
        error = caught
    if error is not None:
        assert str(error) == "the expression meets a value that it does not take"
        assert error.__cause__ is None
        assert error.__context__ is None


def test_depth_does_not_crash():
    deep = value = {}
    for _ in range(100_000):
        value["a"] = {}
        value = value["a"]
    with pytest.raises(ExpressionError):
        search("to_string(@)", deep)
    while deep:  # else the interpreter takes it apart recursively
        deep = deep.pop("a")
