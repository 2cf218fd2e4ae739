"""People by the fingerprints that a training card names them by."""

from lethe.data.digest import subject_fingerprint
from lethe.data.union import parts_of
from lethe.keys import record_key
from tasks.record import Record


def fingerprints_of(record: Record, *, whole: bool) -> tuple[str, ...]:
    """Of the people whose rows a batch forgets.

    Args:
        record: of the batch.
        whole: only of those all of whose rows it forgets, not of those named together with classes
            or rows, some of whose rows stay.
    """
    selection = record.forget.spec.selection
    if selection is None:
        return ()
    key = record_key(record.settings.record_key_file)
    named = {
        one
        for part in parts_of(selection)
        if not (whole and (part.classes or part.samples))
        for one in part.subjects or ()
    }
    return tuple(sorted(subject_fingerprint(key, one) for one in named))
