"""Which requests of a record have their certificate beside it in MLflow, and under which name.

pages(statement.predicate)["req-0123456789ab"]  # certificates/req-0123456789ab.html
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lethe.audit.predicate import Predicate

FOLDER: Final = "certificates"
# A record of more is rarely read page by page; `lethe audit certificate` makes any of them.
MOST: Final = 20


def page_of(request_id: str) -> str:
    """The artifact with the certificate of a request, if there is one."""
    return f"{FOLDER}/{request_id}.html"


def pages(predicate: "Predicate") -> dict[str, str]:
    """The artifacts with certificates, by the ids of their requests: the first ones of the record.

    A request that an earlier record covers is not among them.
    """
    return {one.id: page_of(one.id) for one in predicate.requests[:MOST]}
