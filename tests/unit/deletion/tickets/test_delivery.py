import pytest
from starlette.datastructures import Headers

from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import NotAuthenticError


def delivery(*pairs):
    return Delivery(Headers(raw=[(k.encode(), v.encode("latin-1")) for k, v in pairs]), b"")


def test_the_services_own_headers_are_read_in_any_case():
    assert delivery(("x-one", " a "), ("X-Two", "b")).header("X-ONE") == "a"


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_header_is_none(value):
    assert delivery(("x-one", value)).header("x-one") is None
    assert delivery().header("x-one") is None


def test_a_header_that_the_service_got_twice_is_refused():
    twice = delivery(("x-one", "a"), ("X-One", "a"), ("x-two", "b"))
    assert twice.header("x-two") == "b"
    with pytest.raises(NotAuthenticError) as caught:
        twice.header("x-one")
    assert caught.value.reason == "header_repeated"


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"]
)
def test_json_goes_by_several_names(kind):
    delivery(("content-type", kind)).check_json()
