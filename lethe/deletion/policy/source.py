"""A source of requests: how its tickets are told apart, read, limited and answered."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from lethe.audit.fields import Phrase
from lethe.deletion.policy import defaults
from lethe.deletion.policy.expressions import Expression
from lethe.deletion.policy.field_types import (
    DatasetPatterns,
    ModelPatterns,
    Part,
    SecretRef,
    SecretRefs,
    WebAddress,
    WebAddresses,
)
from lethe.deletion.request import SourceName

Kind = Literal["github", "jira", "opendsr", "standard-webhooks", "plain", "cli"]
SelectionKind = Literal["classes", "subjects", "samples", "whole"]
# Kinds whose deliveries are signed with the source's own secrets; `plain` has tokens.
SIGNED: frozenset[Kind] = frozenset({"github", "jira", "opendsr", "standard-webhooks"})


class FieldMap(Part):
    """Where the fields of a request stand in a payload, a JMESPath expression each."""

    model: Expression = Field(description="the model, NAME@ALIAS, NAME/NUMBER or a NAME alone")
    dataset: Expression = Field(description="path of the data set inside the repository")
    classes: Expression | None = Field(default=None, description="class labels, a list of texts")
    subjects: Expression | None = Field(
        default=None, description="subject ids, a list of texts or whole numbers"
    )
    samples: Expression | None = Field(default=None, description="sample ids, likewise")
    evaluation: Expression | None = Field(
        default=None, description="path of the data set to measure on"
    )
    ground: Expression | None = Field(default=None, description="one of the source's `grounds`")
    regulation: Expression | None = Field(
        default=None, description="name of the regulation; default: the source's `regulation`"
    )
    rev: Expression | None = Field(
        default=None, description="git revision of the data; default: the source's `rev`"
    )
    ticket: Expression | None = Field(
        default=None, description="key of the ticket; of `standard-webhooks` only"
    )


class Answer(Part):
    """Where the answer to a ticket goes, and with what rights."""

    api: WebAddress | None = Field(
        default=None, description="address of the API; of `github` by default api.github.com"
    )
    token: SecretRef | None = Field(default=None, description="reference to the API's token")
    user: SecretRef | None = Field(
        default=None, description="`jira`: reference to the account that the token belongs to"
    )
    close: bool = Field(default=True, description="close the ticket when its request has ended")
    transition: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="`jira`: name of the transition that closes; default: its first"
    )
    callbacks: WebAddresses = Field(
        default=(),
        description="`opendsr`: beginnings of the addresses that may be called back; default: all "
        "of public hosts, by https",
    )
    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None = Field(
        default=None, description="`opendsr`: our domain, for X-OpenDSR-Processor-Domain"
    )
    key: SecretRef | None = Field(
        default=None, description="`opendsr`: reference to the private key that signs, PEM"
    )


class Source(Part):
    """One place that requests come from. `name` is its key under `[sources]`."""

    name: SourceName
    kind: Kind = Field(description="github, jira, opendsr, standard-webhooks or plain")
    secrets: SecretRefs = Field(default=(), description="references to the webhook's secrets")
    models: ModelPatterns = Field(
        default=(), description="models that it may name; `*` stands for any characters"
    )
    datasets: DatasetPatterns = Field(
        default=(), description="data sets that it may name, to forget from and to measure on"
    )
    selections: Annotated[tuple[SelectionKind, ...], Field(strict=False)] = Field(
        default=("classes", "subjects", "samples"), description="what it may select by"
    )
    repository: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="git repository of the data; default: setting data.repository"
    )
    rev: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="HEAD", description="git revision of the data"
    )
    regulation: SourceName = Field(default="gdpr", description="regulation of its requests")
    ground: Phrase = Field(default="unspecified", description="ground of its requests")
    grounds: Annotated[tuple[Phrase, ...], Field(strict=False)] = Field(
        default=defaults.GROUNDS, description="grounds that a ticket may give instead"
    )
    approve_always: bool = Field(default=False, description="each request needs approval")
    file_when: Expression = Field(description="a ticket asks for a deletion when this is true")
    cancel_when: Expression = Field(description="it is taken back when this is true")
    fields: FieldMap = Field(description="where a request's fields stand in the payload")
    answer: Answer = Field(default=Answer(), description="where answers go")
    _alias: str = PrivateAttr("champion")
    _repository: str = PrivateAttr(".")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in defaults.FIELDS:
            return value
        mapping = defaults.FIELDS[kind]
        if not mapping and "fields" not in value:
            message = f"kind {kind} needs a table [sources.NAME.fields], there is no default for it"
            raise ValueError(message)
        filled = {
            "file_when": defaults.FILE_WHEN[kind],
            "cancel_when": defaults.CANCEL_WHEN[kind],
            "fields": mapping,
        }
        return filled | value

    @model_validator(mode="after")
    def _readable(self) -> Self:
        fields = self.fields
        if not (fields.classes or fields.subjects or fields.samples):
            message = "fields must hold classes, subjects or samples: else nothing is selected"
            raise ValueError(message)
        if fields.ticket and self.kind != "standard-webhooks":
            message = f"fields.ticket is for standard-webhooks; {self.kind} has a key of its own"
            raise ValueError(message)
        if "whole" in self.selections and self.kind != "cli":
            message = 'selections may hold "whole" for cli only: no ticket can say so'
            raise ValueError(message)
        return self

    def model_post_init(self, context: Any) -> None:
        """Take the settings' alias and repository, which `load_policy` hands over."""
        if isinstance(context, dict):
            self._alias = context["alias"]
            self._repository = context["repository"]

    @property
    def alias(self) -> str:
        """The alias of a model that is named without one."""
        return self._alias

    @property
    def data_repository(self) -> str:
        """The git repository of the data; never a ticket's choice."""
        return self.repository or self._repository
