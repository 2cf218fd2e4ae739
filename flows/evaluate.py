# # Measure a registered version again
#
#     lethe evaluate digits/2 --against digits/1
#
# The rows are those of the deletion request that the version was made for, or of another filed one.
"""The flow `evaluate`: pull two versions, measure them on the same rows, change nothing."""

from prefect import flow

from lethe.settings import load_settings
from tasks.compare import Comparison, compare, forget_set_of, pull_pair
from tasks.desk import open_desk


@flow(name="evaluate", flow_run_name="evaluate-{version}", persist_result=False)
def evaluate(version: str, against: str | None = None, request_id: str | None = None) -> Comparison:
    """Measure a version against another, its parent by default.

    Raises:
        LetheError: if a version or the request cannot be found; nothing was measured.
    """
    with open_desk(load_settings()) as desk:
        judged, other = pull_pair(desk.settings, version, against)
        forget, measured = forget_set_of(desk, judged, request_id)
        return compare(desk, judged, other, forget, measured, request_id=request_id)
