"""The parts of a policy that are not a source: approval, holds, models, notification, tokens."""

from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from lethe.audit.fields import Phrase
from lethe.deletion.policy.field_types import (
    Actors,
    DatasetPatterns,
    ModelPatterns,
    Part,
    SecretRef,
    Share,
    WebAddress,
)
from lethe.deletion.request import ActorName, SourceName
from lethe.deletion.states import ENDED, State

Right = Literal["submit", "read", "approve", "operate"]


class Approval(Part):
    """Who may approve, and how many of them must."""

    approvers: Actors = Field(default=(), description="actors who may approve")
    needed: int = Field(default=1, ge=0, description="how many different approvers a request needs")


class Hold(Part):
    """A legal hold: requests that match every condition given wait until it is released."""

    reason: Phrase = Field(description="why, on one line; it stands in the history")
    models: ModelPatterns = Field(
        default=(),
        description="of these models; what follows @ or / is ignored, since an alias and a number "
        "can mean the same version",
    )
    datasets: DatasetPatterns = Field(default=(), description="of these data sets")
    sources: Annotated[tuple[SourceName, ...], Field(strict=False)] = Field(
        default=(), description="of these sources"
    )
    until: AwareDatetime | None = Field(
        default=None, description="matches nothing from this time on; what is held stays held"
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not (self.models or self.datasets or self.sources):
            message = 'must say what is held: models, datasets or sources; all is models = ["*"]'
            raise ValueError(message)
        return self


_Period = Annotated[int, Field(ge=0, le=3660)]


class RegulationRule(Part):
    """Time to answer under a regulation of your own, counted from receipt."""

    months: _Period = Field(default=0, description="calendar months, and")
    days: _Period = Field(default=0, description="days to answer")
    extension_months: _Period = Field(default=0, description="calendar months, and")
    extension_days: _Period = Field(default=0, description="days by which it can be extended")

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if not self.months and not self.days:
            message = "months or days must be more than 0"
            raise ValueError(message)
        return self


class Shares(Part):
    """Shares of the training rows, 0 to 1."""

    model_config = ConfigDict(populate_by_name=True)

    dataset: Share | None = Field(default=None, description="of the data set")
    class_: Share | None = Field(default=None, alias="class", description="of any single class")

    def exceeded(self, *, dataset: float, of_class: float) -> tuple[str, ...]:
        """What is above its limit; a share that is no number is."""
        pairs = (("the data set", dataset, self.dataset), ("a class", of_class, self.class_))
        return tuple(
            what for what, share, limit in pairs if limit is not None and not share <= limit
        )


class RungRule(Part):
    """One step of a model's ladder: a method, or retraining."""

    method: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="name of an unlearning method, or `auto`"
    )
    options: dict[str, Any] | None = Field(
        default=None,
        description="its settings; default: unlearning.options if it is unlearning.method",
    )
    retrain: bool = Field(default=False, description="train anew without the data, if it allows")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.method is None) != self.retrain or (self.retrain and self.options is not None):
            message = 'must be {method = "NAME", options = {…}} or {retrain = true}'
            raise ValueError(message)
        try:
            rfc8785.dumps(self.options)
        except rfc8785.CanonicalizationError:
            message = "options must be numbers, texts, booleans, lists and tables of these"
            raise ValueError(message) from None
        return self


class ModelRule(Part):
    """What holds for requests to one registered model."""

    promote: bool | None = Field(
        default=None,
        description="move the alias when the gates pass; default: setting models.promote",
    )
    complete_when: Literal["promoted", "registered"] = Field(
        default="promoted", description="when a request is completed"
    )
    at_once: bool = Field(
        default=False, description="carry out at once, not with the next scheduled run"
    )
    quarantine: bool = Field(
        default=False,
        description="what waits is blocked meanwhile, with the next `lethe quarantine waiting`",
    )
    approve_above: Shares = Field(default=Shares(), description="larger shares need approval")
    refuse_above: Shares = Field(default=Shares(), description="larger shares are rejected")
    approve_always: bool = Field(default=False, description="each request needs approval")
    max_ids: int = Field(
        default=10_000, ge=1, le=100_000, description="labels and ids that one request may name"
    )
    ladder: Annotated[tuple[RungRule, ...], Field(strict=False)] = Field(
        default=(), description="what is tried in turn; default: the method of the settings alone"
    )


class Notify(Part):
    """An address that is told of what happens, by signed Standard Webhooks."""

    url: WebAddress = Field(description="where to", repr=False)
    secret: SecretRef = Field(description="reference to the secret that signs")
    on: Annotated[tuple[Annotated[State, Field(strict=False)], ...], Field(strict=False)] = Field(
        default=tuple(sorted(ENDED)), description="states that it is told of; default: every end"
    )


class Token(Part):
    """A bearer token for the JSON API, the page and the metrics."""

    name: SourceName = Field(description="what it is called")
    secret: SecretRef = Field(description="reference to the token")
    actor: ActorName = Field(description="who acts with it, as the history names them")
    may: Annotated[tuple[Right, ...], Field(strict=False)] = Field(
        default=("read",), description="submit, read, approve, operate"
    )
    source: SourceName | None = Field(
        default=None, description="the source of kind plain that its requests come from"
    )
