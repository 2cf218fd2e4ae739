# # Make a registered model forget
#
# One deletion request in, one registered successor out, or a recorded refusal. What a person
# starts:
#
#     lethe unlearn digits@champion --dataset data/digits --classes 3
#
# The request was filed before and is named here by its id alone, so that no id of a person reaches
# Prefect. Bad input is refused before the first gradient; a failed gate registers nothing.
"""The flow `unlearn`: carry out one filed deletion request now."""

from dataclasses import replace
from typing import Any

from prefect import flow

from flows.carry_out import carry_out
from lethe.deletion.policy.judge import Rung, own_rung
from lethe.settings import Settings, load_settings
from tasks.desk import open_desk
from tasks.one_request import ended, result_of, take
from tasks.results import UnlearnResult
from tasks.settle import settle


@flow(name="unlearn", flow_run_name="unlearn-{request_id}", persist_result=False)
def unlearn(
    request_id: str,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    promote: bool | None = None,
    reference: bool = False,
) -> UnlearnResult:
    """Carry out a filed deletion request.

    Args:
        request_id: id of a request in the ledger, approved, or refused or failed before.
        method: name of an unlearning method, `retrain`, or `auto`; default: the setting
            `unlearning.method`.
        options: settings of the method; default: the setting `unlearning.options`.
        promote: move the alias to the successor; default: the policy's wish, else the setting
            `models.promote`.
        reference: also retrain without the forget set, to compare accuracy and time; needs the
            training rows and a parent that Lethe trained.

    Raises:
        RefusedError: if a gate failed. The refusal is recorded; the parent's aliases stay.
        RequestError: if the request is not there, not approved, or in another worker's hands.
        LetheError: if the input cannot be worked with; nothing was computed.
    """
    with open_desk(load_settings()) as desk:
        registered = False
        if not ended(desk, request_id):
            batch = take(desk, request_id)
            rung = _rung(desk.settings, method, options)
            done = carry_out(desk, batch, [rung], newest=False, reference=reference)
            registered = done is not None and request_id in done.facts
        aliases = settle(desk, ids=[request_id], wanted=promote)
        return result_of(desk, request_id, registered=registered, aliases=aliases)


def _rung(settings: Settings, method: str | None, options: dict[str, Any] | None) -> Rung:
    """What was named for this request, or else what the settings name."""
    if method is not None:
        return Rung(method, options)
    own = own_rung(settings)
    return own if options is None else replace(own, options=options)
