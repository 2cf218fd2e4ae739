# # Carry out a batch of deletion requests
#
# Some requests for one model and one data set in, one registered successor out; or a recorded
# refusal, after which several requests are tried again in smaller batches.
#
# What `lethe unlearn` does for one request and the flow `deletion-requests` for all that are due.
"""One batch: pull, resolve, probe, push and pull, evaluate, register, conclude."""

from collections.abc import Sequence
from functools import partial

from lethe.data.errors import AWAY
from lethe.deletion.ledger.types import Batch
from lethe.deletion.policy.judge import Rung
from lethe.deletion.states import State
from lethe.errors import (
    DataError,
    LetheError,
    MethodError,
    ModelError,
    RefusedError,
    RegistryError,
)
from model_registry.outage import as_outage
from tasks.conclude import conclude_covered, conclude_registered, note_wait, set_aside
from tasks.decide import decide_verdict, measure, measure_earlier, measure_requests
from tasks.desk import Desk
from tasks.device import device_slot
from tasks.earlier import look_back
from tasks.edit import probe, push_pull
from tasks.finish import (
    Finished,
    find_done,
    mark_candidate,
    record_refusal,
    register_successor,
)
from tasks.ladder import choose_ways, taken_up
from tasks.lease import leased
from tasks.notary import open_notary
from tasks.outcome import Outcome
from tasks.prepare import (
    check_method,
    check_way,
    pull_parent,
    resolve_evaluation_set,
    resolve_forget_set,
)
from tasks.record import Record, open_record
from tasks.retrain import rebuild, retrain_reference, wants_reference
from tasks.retraining import NAME as RETRAIN
from tasks.search import find_settings

# What no repetition mends: the request itself cannot be carried out.
PERMANENT = (DataError, ModelError, MethodError)
MAX_ATTEMPTS = 5


def carry_out(
    desk: Desk,
    batch: Batch,
    ladder: Sequence[Rung],
    *,
    newest: bool,
    reference: bool = False,
) -> Finished | None:
    """Carry out a claimed batch; None when everything it asks for was forgotten before.

    Args:
        desk: settings, policy and ledger.
        batch: the batch, under this worker's lease.
        ladder: what to try, in this order, until the gates pass.
        newest: edit the unpromoted successor of the version asked for, if there is one.
        reference: also retrain without the forget set, to compare.

    Raises:
        RefusedError: if a gate failed on the last rung. The refusal is recorded; the parent's
            aliases stay.
        LetheError: if the batch cannot be carried out; nothing was registered.
    """
    with leased(desk, batch):
        if batch.attempt > MAX_ATTEMPTS:
            reason = f"It was taken up {MAX_ATTEMPTS} times and never came to an end"
            set_aside(desk, batch, State.FAILED, reason)
            raise LetheError(f"Batch {batch.id}: {reason}. See `lethe requests list`.")
        try:
            return _carry_out(desk, batch, ladder, newest=newest, reference=reference)
        except (*AWAY, RegistryError) as error:
            note_wait(desk, batch, error.in_short)
            raise
        except PERMANENT as error:
            # Some of it may have been concluded by now, as forgotten before.
            left = desk.ledger.renew(batch, desk.lease)
            set_aside(desk, left, State.FAILED, error.in_short)
            raise
        except Exception as error:
            outage = as_outage(error)
            if outage is None:
                raise
            note_wait(desk, batch, outage.in_short)
            raise outage from error


def _carry_out(
    desk: Desk, batch: Batch, ladder: Sequence[Rung], *, newest: bool, reference: bool
) -> Finished | None:
    settings = desk.settings

    # ## Everything that can be wrong is found before any work
    notary = open_notary(settings, desk.ledger)
    for rung in ladder:
        check_method(settings, rung.method, rung.options)
    parent = pull_parent(settings, batch.entries[0].request.model, newest=newest)

    # ## Already forgotten is success
    earlier = look_back(desk, parent)
    batch = conclude_covered(desk, batch, earlier)
    if not batch.entries:
        return None
    forget = resolve_forget_set(settings, batch, parent)
    measured = resolve_evaluation_set(settings, batch, forget)
    done: Finished | None = None
    unable: LetheError | None = None

    # ## Which methods, in which order; what was begun goes on as it was begun
    climb = taken_up(settings, batch, ladder) or choose_ways(
        settings, ladder, parent, forget, earlier
    )

    # ## Rung by rung, until the gates pass
    first = batch.rung if climb.failed_before(batch.rung) else 0
    for number, way in enumerate(climb.ways[first:], first):
        method = way.load()
        try:
            check_way(parent, forget, method, earlier)
            batch = desk.ledger.climb(batch, number)
            ended = find_done(settings, batch, parent, forget, method)
            if ended is None:
                with open_record(
                    settings, batch, parent, method, forget=forget, measured=measured,
                    earlier=earlier, climb=climb, at=number,
                ) as opened:  # fmt: skip
                    record = find_settings(opened)
                    outcome = _forget_and_measure(record, reference=reference)
                    finish = record_refusal if outcome.refused else register_successor
                    # Nobody else may have taken it over.
                    still_ours = partial(desk.ledger.renew, batch, desk.lease)
                    ended = finish(record, outcome, notary, still_ours)
        except (MethodError, ModelError) as error:
            unable = error
            climb = climb.noted(number, "unable", error.in_short)
            continue
        done = ended
        if done.successor is not None:
            mark_candidate(settings, done.successor)
            conclude_registered(desk, batch, done)
            return done
        climb = climb.noted(number, "refused", done.reason, done.run_id)

    # ## No rung led there
    if done is None:
        raise unable or MethodError(
            f"Batch {batch.id} has no way left to try. Nothing was registered. "
            f"Name methods in the policy's ladder; `lethe policy check` shows it."
        )
    set_aside(desk, batch, State.REFUSED, done.reason, done)
    tried = f" In turn: {climb.words()}." if len(climb.ways) > 1 else ""
    raise RefusedError(f"{done.message}{tried}")


def _forget_and_measure(record: Record, *, reference: bool) -> Outcome:
    """Edit or rebuild, and measure what came out."""
    with device_slot(record.device, record.settings.worker):
        reference = reference or wants_reference(record)
        retrained = retrain_reference(record) if reference else None
        if record.method.name == RETRAIN:
            instructions, edit = rebuild(record)
        else:
            instructions = probe(record)
            edit = push_pull(record, instructions)
        evaluation, seconds = measure(record, edit, retrained)
        own = measure_requests(record, edit)
        relapse = measure_earlier(record, edit)
    decision = decide_verdict(record, evaluation, relapse, retrained=record.method.name == RETRAIN)
    return Outcome(instructions, edit, retrained, evaluation, seconds, own, decision)
