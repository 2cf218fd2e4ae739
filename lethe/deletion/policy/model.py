"""The policy: what the TOML file says, as frozen models. docs/policy.md lists every key.

policy = load_policy(settings.policy_file)
policy.source("portal").models
policy.model_rule("digits").max_ids
"""

import hashlib
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

import rfc8785
from pydantic import Field, PrivateAttr, model_validator

from lethe.deletion.policy.checks import ANY_MODEL, problems
from lethe.deletion.policy.deadlines import BUILT_IN, Regulation
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.field_types import Part, SecretRef
from lethe.deletion.policy.parts import (
    Approval,
    Hold,
    ModelRule,
    Notify,
    RegulationRule,
    Right,
    RungRule,
    Shares,
    Token,
)
from lethe.deletion.policy.source import SIGNED, Answer, FieldMap, Kind, Source
from lethe.deletion.request import SourceName

__all__ = [
    "CLI",
    "SIGNED",
    "Answer",
    "Approval",
    "FieldMap",
    "Hold",
    "Kind",
    "ModelRule",
    "Notify",
    "Policy",
    "RegulationRule",
    "Right",
    "RungRule",
    "SecretRef",
    "Shares",
    "Source",
    "Token",
    "registered_name",
]

CLI: Final = "cli"
_CLI_TABLE: Final = MappingProxyType(
    {
        "name": CLI,
        "kind": CLI,
        "models": ("*",),
        "datasets": ("*",),
        "selections": ("classes", "subjects", "samples", "whole"),
    }
)


class Policy(Part):
    """What a source may ask for, who approves it, and how it is carried out."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] = Field(
        description="your name for this version; records name it with the policy's digest"
    )
    approval: Approval = Field(default=Approval(), description="who approves")
    holds: Annotated[tuple[Hold, ...], Field(strict=False)] = Field(
        default=(), description="legal holds"
    )
    regulations: dict[SourceName, RegulationRule] = Field(
        default_factory=dict, description="deadlines beside those built in, by name"
    )
    models: dict[str, ModelRule] = Field(
        default_factory=dict, description="what holds for a registered model, by name"
    )
    sources: dict[SourceName, Source] = Field(
        default_factory=dict, description="where requests come from, by name"
    )
    notify: Annotated[tuple[Notify, ...], Field(strict=False)] = Field(
        default=(), description="who is told"
    )
    tokens: Annotated[tuple[Token, ...], Field(strict=False)] = Field(
        default=(), description="bearer tokens"
    )
    _cli: Source = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _name_sources(cls, value: Any) -> Any:
        """Tell each source its name, which is its key."""
        sources = value.get("sources") if isinstance(value, dict) else None
        if not isinstance(sources, dict):
            return value
        named = {
            name: {**source, "name": name} if isinstance(source, dict) else source
            for name, source in sources.items()
        }
        return {**value, "sources": named}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        found = problems(self)
        if found:
            raise ValueError("; ".join(found))
        return self

    def model_post_init(self, context: Any) -> None:
        """Make the operator's own source, which there is without a table too."""
        self._cli = Source.model_validate(dict(_CLI_TABLE), context=context)

    @cached_property
    def label(self) -> str:
        """Version and digest, for the record: SHA-256 over the RFC 8785 bytes, 12 digits of it."""
        text = rfc8785.dumps(self.model_dump(mode="json", by_alias=True))
        return f"{self.version}@sha256:{hashlib.sha256(text).hexdigest()[:12]}"

    def source(self, name: str) -> Source:
        """The source of this name; "cli" is there always.

        Raises:
            UnknownSourceError: if there is none. The name, which may be a stranger's, is not
                repeated.
        """
        if name in self.sources:
            return self.sources[name]
        if name == CLI:
            return self._cli
        raise UnknownSourceError(
            "The policy names no such source. Nothing was filed. `lethe policy check` lists the "
            "sources; add it to the policy as [sources.NAME]."
        )

    def model_rule(self, name: str) -> ModelRule:
        """What holds for a registered model: its own table, else that of "*", else the defaults.

        Args:
            name: NAME, or NAME@ALIAS or NAME/NUMBER, of which the name counts.
        """
        rules = self.models
        return rules.get(registered_name(name)) or rules.get(ANY_MODEL) or ModelRule()

    def regulation(self, name: str) -> Regulation | None:
        """A regulation, built in or of the policy; None if there is none of this name."""
        rule = self.regulations.get(name)
        return BUILT_IN.get(name) if rule is None else Regulation(name, **rule.model_dump())

    def limits(self, source: Source) -> bool:
        """Whether numbers of ids, shares and approval are limits for a source.

        They are not for the operator with a shell, unless there is a table [sources.cli].
        """
        return source.name != CLI or CLI in self.sources

    def approval_reason(self, source: Source, model: str) -> str | None:
        """Why each request of the source to the model needs approval; None if it does not."""
        if source.approve_always:
            return f"each request of source {source.name} needs approval"
        if self.limits(source) and self.model_rule(model).approve_always:
            return "each request to this model needs approval"
        return None

    def may_approve(self, actor: str) -> bool:
        """Whether this actor is one of the approvers."""
        return actor in self.approval.approvers


def registered_name(model: str) -> str:
    """The name in NAME@ALIAS or NAME/NUMBER.

    >>> registered_name("digits@champion"), registered_name("team/digits/3")
    ('digits', 'team/digits')
    """
    if "@" in model:
        return model.partition("@")[0]
    name, _, number = model.rpartition("/")
    return name if name and number.isdigit() else model
