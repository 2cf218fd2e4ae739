"""The fields of a request, read out of a ticket by the policy's mapping.

A ticket is a stranger's text: types, lengths, numbers and characters are checked
(`lethe.deletion.policy.values`), and what is wrong is told by the field's name alone. The
repository and the source's name are never a ticket's choice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.policy import values
from lethe.deletion.policy.allow import (
    KINDS,
    WITHHELD_MODEL,
    WITHHELD_PATH,
    may_name_dataset,
    may_name_model,
)
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.expressions import ExpressionError, search
from lethe.deletion.policy.misspelt import check_keys
from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.request import DeletionRequest

__all__ = [
    "TicketFields",
    "UnreadableTicketError",
    "read_field",
    "read_fields",
    "read_ticket",
    "to_request",
]


@dataclass(frozen=True, repr=False)
class TicketFields:
    """What a ticket asks for. Nothing of it is in its repr.

    `model` is NAME@ALIAS or NAME/NUMBER; lists are sorted and hold each value once; None was not
    given. At least one of the lists is given.
    """

    model: str
    dataset: str
    classes: tuple[str, ...] | None = None
    subjects: tuple[str, ...] | None = None
    samples: tuple[str, ...] | None = None
    evaluation: str | None = None
    ground: str | None = None
    regulation: str | None = None
    rev: str | None = None


_CHECKS: Final[Mapping[str, Callable[[Source, str, str], str]]] = {
    "model": lambda source, text, name: values.model(text, name, source.alias),
    "dataset": lambda _, text, name: values.path(text, name),
    "evaluation": lambda _, text, name: values.path(text, name),
    "regulation": lambda _, text, name: values.regulation(text, name),
    "rev": lambda _, text, name: values.rev(text, name),
    "ground": lambda source, text, name: values.ground(
        text, name, (source.ground, *source.grounds)
    ),
}
FIELDS: Final = tuple(field.name for field in dataclass_fields(TicketFields))


def read_fields(source: Source, payload: Mapping[str, Any]) -> TicketFields:
    """The fields that a source's mapping finds in a payload.

    Args:
        source: of the policy.
        payload: the ticket as the source's adapter gives it; untrusted.

    Raises:
        UnreadableTicketError: if a field is missing or of the wrong form.
    """
    check_keys(source, payload)
    found: dict[str, Any] = {}
    for name in FIELDS:
        found[name] = read_field(source, payload, name)
        if found[name] is None and name in {"model", "dataset"}:
            raise UnreadableTicketError(f"{name} is missing")
    if not any(found[kind] for kind in KINDS):
        raise UnreadableTicketError("nothing is selected")
    return TicketFields(**found)


def read_ticket(source: Source, payload: Mapping[str, Any]) -> str | None:
    """The ticket's key where the mapping has one (`standard-webhooks`); None if it finds none.

    Raises:
        UnreadableTicketError: if what it finds is no text.
    """
    found = read_field(source, payload, "ticket")
    return found if isinstance(found, str) else None


def read_field(
    source: Source, payload: Mapping[str, Any], name: str
) -> str | tuple[str, ...] | None:
    """One field that a source's mapping finds; None if it is not mapped or not there.

    Raises:
        UnreadableTicketError: if it is of the wrong form.
    """
    found = _find(source, payload, name)
    if name in KINDS:
        return values.ids(found, name)
    text = values.text(found, name)
    if text is None:
        return None
    check = _CHECKS.get(name)
    return check(source, text, name) if check else text


def to_request(
    policy: Policy,
    source: Source,
    fields: TicketFields,
    ticket: str | None,
    received_at: datetime,
) -> DeletionRequest:
    """The request that a ticket's fields make.

    Models and data sets that the source may not name are replaced, since the ledger keeps them in
    clear; `judge` rejects what they are replaced with.

    Args:
        policy: in force.
        source: the ticket's.
        fields: from `read_fields`.
        ticket: key of the ticket, None if it has none.
        received_at: with a time zone.

    Raises:
        UnreadableTicketError: if the ticket names a regulation that the policy does not know, or a
            field may not stand in a record.
    """
    regulation = fields.regulation or source.regulation
    if policy.regulation(regulation) is None:
        raise UnreadableTicketError("regulation is none that the policy knows")
    try:
        return DeletionRequest(
            model=fields.model if may_name_model(source, fields.model) else WITHHELD_MODEL,
            forget=ForgetSpec(
                dataset=_allowed(source, fields.dataset),
                selection=Selection(**{kind: getattr(fields, kind) for kind in KINDS}),
                repository=source.data_repository,
                rev=fields.rev or source.rev,
            ),
            evaluation=None if fields.evaluation is None else _allowed(source, fields.evaluation),
            ground=fields.ground or source.ground,
            regulation=regulation,
            source=source.name,
            ticket=ticket,
            received_at=received_at,
        )
    except ValidationError as error:
        wrong = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})
    # Raised here: an exception keeps the one that it was raised in, and that one has the values.
    raise UnreadableTicketError(f"{', '.join(wrong)} cannot be recorded")


def _allowed(source: Source, path: str) -> str:
    return path if may_name_dataset(source, path) else WITHHELD_PATH


def _find(source: Source, payload: Mapping[str, Any], name: str) -> Any:
    expression = getattr(source.fields, name)
    if expression is None:
        return None
    try:
        return search(expression, payload)
    except ExpressionError:
        raise UnreadableTicketError(f"{name} cannot be read") from None
