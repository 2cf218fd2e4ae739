# # Make a registered model forget
#
# One deletion request in, one registered successor out, or a recorded refusal. What a person, a
# ticket or a schedule starts:
#
#     lethe unlearn digits@champion --dataset data/digits --classes 3
#
# The request was filed before and is named here by its id alone, so that no id of a person reaches
# Prefect. Bad input is refused before the first gradient; a failed gate registers nothing.
"""The flow `unlearn`: pull, resolve, probe, push and pull, evaluate, register."""

from typing import Any

from prefect import flow

from lethe.deletion.request import only_here
from lethe.errors import RefusedError
from lethe.settings import load_settings
from tasks.decide import decide_verdict, measure
from tasks.device import device_slot
from tasks.edit import probe, push_pull
from tasks.finish import find_done, record_refusal, refusal_message, register_successor
from tasks.outcome import Outcome
from tasks.prepare import (
    check_method,
    pull_parent,
    resolve_evaluation_set,
    resolve_forget_set,
    take_request,
)
from tasks.record import open_record
from tasks.reference import retrain_reference
from tasks.results import UnlearnResult


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
        request_id: id of a request filed with `lethe.deletion.request.file_request`.
        method: name of an unlearning method; default: the setting `unlearning.method`.
        options: settings of the method; default: the setting `unlearning.options`.
        promote: move the alias to the successor; default: the setting `models.promote`.
        reference: also retrain without the forget set, to compare accuracy and time; needs the
            training rows and a parent that Lethe trained.

    Raises:
        RefusedError: if a gate failed. The refusal is recorded; the parent's aliases stay.
        LetheError: if the input cannot be worked with; nothing was computed.
    """
    settings = load_settings()

    # ## Everything that can be wrong is found before any work
    request = take_request(settings, request_id)
    way = check_method(settings, method, options)
    parent = pull_parent(settings, request)
    forget = resolve_forget_set(settings, request, parent, way)
    measured = resolve_evaluation_set(settings, request, forget)

    with only_here(settings.state, request.id):
        # ## Already forgotten is success
        done = find_done(settings, parent, forget, way, wanted=promote)
        if done is not None:
            return done

        # ## Forget, then measure
        with open_record(
            settings, request, parent, way, forget=forget, measured=measured
        ) as record:
            with device_slot(record.device, settings.worker):
                retrained = retrain_reference(record) if reference else None
                instructions = probe(record)
                edit = push_pull(record, instructions)
                evaluation, seconds = measure(record, edit, retrained)
            decision = decide_verdict(record, evaluation)
            outcome = Outcome(instructions, edit, retrained, evaluation, seconds, decision)

            # ## Register, or say why not
            if outcome.refused:
                record_refusal(record, outcome)
                raise RefusedError(refusal_message(record, outcome))
            return register_successor(record, outcome, wanted=promote)
