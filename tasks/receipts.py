"""Receipts: what a requester gets to prove that their rows were in a forget set."""

from collections.abc import Iterable
from typing import Any

from lethe.audit.errors import AuditError
from lethe.audit.receipt import ForgottenRows, make_receipt
from lethe.audit.statement import Statement
from lethe.data.forget_set import resolve_forget_set
from lethe.data.union import merge
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.types import Entry
from lethe.errors import RequestError
from lethe.keys import record_key
from lethe.settings import Settings


def record_of(ledger: Ledger, request_id: str) -> tuple[Entry, Kept, Statement]:
    """A request with the record that it was carried out, or refused, under.

    Raises:
        RequestError: if there is no such request, or it has no record yet.
    """
    entry = ledger.get(request_id)
    kept = None if entry.facts.statement is None else ledger.statements.get(entry.facts.statement)
    if kept is None:
        raise RequestError(
            f"Request {entry.id} is {entry.state} and has no record yet. Nothing was written. "
            f"See where it stands: `lethe requests show {entry.id}`."
        )
    return entry, kept, Statement.of_line(kept.line)


def receipt_for(settings: Settings, ledger: Ledger, request_id: str) -> dict[str, Any]:
    """The receipt of a request; reads the ids of the forgotten rows again, at the recorded commit.

    Raises:
        RequestError: if the request has no record, its record does not name it, or it is no longer
            kept what a request of the record selected.
        AuditError: if the data does not lead to the recorded root any more, or nothing of the
            request is in it.
        DataError: if the data cannot be read.
    """
    entry, kept, statement = record_of(ledger, request_id)
    said = statement.predicate
    if entry.id not in {one.id for one in said.requests}:
        # It asked for what others had asked for before; their record covers it.
        raise RequestError(
            f"Request {entry.id} was covered by a record that was made for others. Nothing was "
            f"written. Ask for the receipt of {said.requests[0].id}."
        )
    together = [ledger.get(one.id) for one in said.requests]
    for one in together:
        if one.selection_gone:
            raise RequestError(
                f"No receipt of {entry.id} can be made any more: what {one.id} selected is no "
                f"longer kept (since {one.purged_at:%Y-%m-%d}), and the proof leads through the "
                f"rows of all requests of the record. Nothing was written. The record stays: "
                f"`lethe audit certificate {entry.id}`."
            )
    key = record_key(settings.record_key_file)
    everybody = _ids(together, said.data.git_rev, key)
    rows = ForgottenRows(key, set(everybody), said.batch)
    if (rows.root, rows.size) != (said.data.rows_root, said.data.count):
        raise AuditError(
            f"The rows of record {kept.sequence} cannot be found again as they were: the data, the "
            "selections or the key file (key_file) are not those of then. Nothing was written. "
            "`lethe audit verify` says what else differs."
        )
    own = set(_ids([entry], said.data.git_rev, key))
    try:
        return make_receipt(
            rows,
            own,
            statement_sha256=kept.digest,
            sequence=kept.sequence,
            model=(said.successor or said.parent).uri,
            request=entry.id,
        )
    except ValueError as error:
        raise AuditError(
            f"No receipt can be made for {entry.id}: {error}. Nothing was written."
        ) from None


def _ids(requests: Iterable[Entry], rev: str, key: bytes) -> Iterable[str]:
    """Sample ids of the training rows that requests select, at a commit."""
    specs = [one.request.forget for one in requests]
    chosen = [spec.selection for spec in specs if spec.selection is not None]
    everything = merge(chosen) if len(chosen) == len(specs) else None
    spec = specs[0].model_copy(update={"selection": everything, "rev": rev})
    return resolve_forget_set(spec, max_share=1.0, key=key, missing_ok=True).sample_ids()
