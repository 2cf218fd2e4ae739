"""Which requests of a record have a certificate beside it."""

from audit_statements import REQUEST, statement

from lethe.audit.certified import MOST, pages


def test_the_first_requests_of_a_record_have_a_page_and_the_others_none():
    requests = tuple(REQUEST | {"id": f"req-{number}"} for number in range(MOST + 3))
    found = pages(statement(requests=requests).predicate)
    assert list(found) == [f"req-{number}" for number in range(MOST)]
    assert found["req-0"] == "certificates/req-0.html"
