# # The whole path on the digits data set
#
#     lethe demo
#
# Prepares the data with DVC, trains, registers, files the deletion of class 3 and carries it out.
# Run again, each step finds what it made before.
"""The flow `demo`: from nothing to an unlearned version of `digits`."""

from dataclasses import dataclass

from prefect import flow

from flows.train import train
from flows.unlearn import unlearn
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from tasks.one_request import file_request
from tasks.prepare import prepare_data
from tasks.results import TrainResult, UnlearnResult

DATASET = "digits"
CLASS = "3"


@dataclass(frozen=True)
class DemoResult:
    """What each step of the demo made or reused."""

    data_reused: bool
    trained: TrainResult
    unlearned: UnlearnResult


@flow(name="demo", persist_result=False)
def demo() -> DemoResult:
    """Prepare digits, train, register, forget class 3."""
    settings = load_settings()
    reused = prepare_data(settings, DATASET)
    trained = train(DATASET)
    request = file_request(
        settings,
        DeletionRequest(
            id=f"demo-{DATASET}-{CLASS}",
            model=f"{DATASET}@{settings.models.alias}",
            forget=ForgetSpec(dataset=f"data/{DATASET}", selection=Selection(classes=(CLASS,))),
            ground="demonstration",
        ),
    )
    unlearned = unlearn(request.id, reference=True)
    return DemoResult(reused, trained, unlearned)
