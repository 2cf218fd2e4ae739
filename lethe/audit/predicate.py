"""What a statement says: Lethe's predicate, version 0.4.

Version 0.3 said the same but for `choice`, which it lacks.

Plain data from the standard library and pydantic: this package imports none of its siblings, so
that a statement can be read and checked where nothing else of Lethe is installed.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from lethe.audit.fields import (
    Actor,
    BigInt,
    Count,
    DvcMd5,
    GitRev,
    Label,
    Location,
    OpaqueId,
    Phrase,
    PolicyLabel,
    Record,
    Seconds,
    Sentence,
    Setting,
    Sha256,
    TicketKey,
    Utc,
)

Kind = Literal["class", "subject", "samples"]
VerdictName = Literal["erased", "suppressed", "retrained", "refused"]
# The two bounds of a run are apart from the phases, which hold computing time alone.
Phase = Literal["probe", "edit", "evaluation", "registration"]
RungOutcome = Literal["refused", "accepted", "unable", "not_tried"]
METHOD_PATTERN = r"^[A-Za-z0-9_.-]{1,100}$"


class Request(Record):
    """One deletion request, by its opaque id and the key of its ticket, if there is one.

    `policy` names version and digest of the policy that allowed it, `approved_by` the actors who
    approved it. `rows` of the training data are its own, of which the share `recognised` is still
    answered with its label (for a refusal: would have been); None where that was not measured.
    """

    id: OpaqueId
    ground: Phrase
    received_at: Utc
    kind: Kind
    ticket: TicketKey | None = None
    source: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    regulation: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    due_at: Utc | None = None
    policy: PolicyLabel | None = None
    approved_by: tuple[Actor, ...] = ()
    rows: Count | None = None
    recognised: float | None = Field(default=None, ge=0, le=1)


class Version(Record):
    """A registered model version, with the SHA-256 of its weights and of the file MLflow serves.

    `served_sha256` is None where MLflow did not know it, as of a model that Lethe did not make.
    """

    uri: str = Field(pattern=r"^models:/[^@\r\n]+/\d+$", max_length=300)
    version: int = Field(ge=1)
    weights_sha256: Sha256
    served_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if self.uri.rpartition("/")[2] != str(self.version):
            message = f"uri {self.uri} is not that of version {self.version}"
            raise ValueError(message)
        return self


class Data(Record):
    """The forget set as a reference into versioned data, never its rows or their ids.

    `count` of `total` training rows and `held_out_count` held-out rows were selected; `classes`
    are class names and only given when whole classes were. `set_digest` is keyed: without the key
    it tells nobody whether a row is in the set. `rows_root` is the root of a Merkle tree (RFC 6962)
    over keyed fingerprints of the training rows: a receipt proves by it that a row is among them
    (`lethe.audit.receipt`).
    """

    repository: Location
    path: Location
    git_rev: GitRev
    dvc_md5: DvcMd5
    kind: Kind
    classes: tuple[Label, ...] = ()
    count: Count
    held_out_count: Count
    total: Count
    set_digest: Sha256
    rows_root: Sha256

    @model_validator(mode="after")
    def _no_ids(self) -> Self:
        if self.classes and self.kind != "class":
            message = "classes may be named only when whole classes were selected"
            raise ValueError(message)
        return self


class EvaluationData(Record):
    """The data set that the figures were measured on, when it is not the forget set's own."""

    path: Location
    git_rev: GitRev
    dvc_md5: DvcMd5


class Method(Record):
    """The unlearning method with its settings, flat: `lethe.audit.fields.flat_settings`."""

    name: str = Field(pattern=METHOD_PATTERN)
    settings: Mapping[str, Setting]
    seed: BigInt


class Rung(Record):
    """One step of the ladder: a method, why it stands there, and what became of it.

    `settings` are those given to it, the method's own where none were. `said` is the reason of
    the verdict, or what stood against the step. `run_id` is the run of its own record, if it came
    so far.
    """

    method: str = Field(pattern=METHOD_PATTERN)
    settings: Mapping[str, Setting] = Field(default_factory=dict)
    because: Sentence
    outcome: RungOutcome
    said: Sentence | None = None
    run_id: OpaqueId | None = None


class LeftOut(Record):
    """A method that a ladder could have held, and why it did not."""

    method: str = Field(pattern=METHOD_PATTERN)
    because: Sentence


class Trial(Record):
    """One trial of the search: what was set, the share forgotten, drift in nats, score.

    `drift` is None where the edit failed.
    """

    settings: Mapping[str, Setting]
    forgotten: float = Field(ge=0, le=1)
    drift: float | None = Field(ge=0)
    score: float = Field(ge=0)


class Search(Record):
    """How the method's settings were found: by trials, without any retained row.

    `budget` is the most trials that were allowed, the first of which is the method as it was
    named; `best` is the number of the one whose settings were taken, from 0.
    """

    budget: int = Field(ge=0)
    trials: tuple[Trial, ...] = ()
    best: Count = 0
    seconds: Seconds

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if len(self.trials) > self.budget or self.best >= max(1, len(self.trials)):
            message = "best is not one of the trials, or there are more than the budget allows"
            raise ValueError(message)
        return self


class Choice(Record):
    """How it came to this method: the whole ladder, step by step, as far as it was climbed.

    `facts` is what the ladder follows from; `at` is the step that this statement is about, from 0.
    """

    facts: Mapping[str, Setting]
    rungs: tuple[Rung, ...] = Field(min_length=1)
    at: Count
    left_out: tuple[LeftOut, ...] = ()
    search: Search | None = None

    @model_validator(mode="after")
    def _climbed(self) -> Self:
        before, after = self.rungs[: self.at], self.rungs[self.at + 1 :]
        if self.at >= len(self.rungs) or self.rungs[self.at].outcome not in {"refused", "accepted"}:
            message = "at is not a step that was carried out"
            raise ValueError(message)
        if {rung.outcome for rung in before} - {"refused", "unable"}:
            message = "a step was taken though one before it had not failed"
            raise ValueError(message)
        if {rung.outcome for rung in after} - {"not_tried"}:
            message = "a step after the one that this is about was tried"
            raise ValueError(message)
        return self


class Compute(Record):
    """Where it ran and for how many seconds of wall time; `retraining` is the reference's."""

    device: Phrase
    seconds: Mapping[Phase, Seconds]
    retraining: Seconds | None = None


class Code(Record):
    """What ran. `commit` is None when Lethe was not run from its repository."""

    lethe: str = Field(max_length=100)
    commit: GitRev | None = None
    python: str = Field(max_length=100)
    platform: str = Field(max_length=200)
    environment_sha256: Sha256


class Gate(Record):
    """One figure against its threshold; `passed` is None when it could not be measured."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,100}$")
    measured: float | None
    threshold: float
    comparison: Literal["<=", ">="]
    passed: bool | None
    words: Sentence


class Times(Record):
    """When the work began and ended, UTC."""

    started: Utc
    finished: Utc

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.finished < self.started:
            message = "finished lies before started"
            raise ValueError(message)
        return self


class Place(Record):
    """Where the statement stands in the chain: its number, the one before it, who signed it.

    `previous` is the digest of the statement before it, None for the first. `key_id` is the SHA-256
    of the signing key as SubjectPublicKeyInfo.
    """

    sequence: int = Field(ge=1)
    previous: Sha256 | None
    key_id: Sha256
    signed_at: Utc

    @model_validator(mode="after")
    def _first(self) -> Self:
        if (self.sequence == 1) != (self.previous is None):
            message = "the first statement, and only that one, has none before it"
            raise ValueError(message)
        return self


class Predicate(Record):
    """The whole account: requests, versions, data, method, cost, evidence, verdict, limits.

    `batch` is the id under which the requests were carried out together. `figures` are all
    measured figures by name, `gates` those with a threshold. A refusal has no successor; every
    other verdict has one. `run_id` is the MLflow run. `choice` says how it came to the method; it
    is None in older statements.
    """

    batch: OpaqueId
    requests: tuple[Request, ...] = Field(min_length=1)
    parent: Version
    successor: Version | None = None
    data: Data
    evaluation: EvaluationData | None = None
    method: Method
    choice: Choice | None = None
    compute: Compute
    code: Code
    figures: Mapping[str, float] = Field(default_factory=dict)
    gates: tuple[Gate, ...]
    verdict: VerdictName
    rule: str = Field(pattern=r"^[a-z0-9_]{1,100}$")
    reason: Sentence
    not_covered: tuple[Sentence, ...] = Field(min_length=1)
    times: Times
    run_id: OpaqueId
    record: Place

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.successor is None) != (self.verdict == "refused"):
            message = "a refusal has no successor, every other verdict has one"
            raise ValueError(message)
        if len({request.id for request in self.requests}) != len(self.requests):
            message = "a request is named twice"
            raise ValueError(message)
        if self.choice is not None:
            rung = self.choice.rungs[self.choice.at]
            if rung.method != self.method.name or rung.run_id != self.run_id:
                message = "the step that the choice is at is another method or run"
                raise ValueError(message)
            if (rung.outcome == "refused") != (self.verdict == "refused"):
                message = "the step that the choice is at ended otherwise than the verdict says"
                raise ValueError(message)
        kinds = {request.kind for request in self.requests}
        if len(kinds) == 1 and kinds != {self.data.kind}:
            message = "requests and data name different kinds of selection"
            raise ValueError(message)
        return self
