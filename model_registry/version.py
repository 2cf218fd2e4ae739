"""Which version is meant: `name@alias`, `name/3`, or the same behind `models:/`."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lethe.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REFERENCE = re.compile(r"^(?:models:/)?(?P<name>[^/@']+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))$")

_NAME = re.compile(r"[\w. -]{1,200}")
# What MLflow answers when it looked and found nothing.
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class VersionRef:
    """A registered version by name and number, and the alias it was asked for by, if any."""

    name: str
    number: int
    alias: str | None = None

    def __str__(self) -> str:
        """As `name/number`."""
        return f"{self.name}/{self.number}"

    @property
    def uri(self) -> str:
        """As MLflow writes it."""
        return f"models:/{self.name}/{self.number}"

    @property
    def link(self) -> str:
        """Address of its page within the MLflow UI."""
        return f"#/models/{quote(self.name, safe='')}/versions/{self.number}"


def find_version(client: "MlflowClient", reference: str) -> tuple[VersionRef, Any]:
    """The version meant and MLflow's own record of it.

    Raises:
        ModelError: if the reference is not well formed or names nothing.
    """
    from mlflow.exceptions import MlflowException

    match = _REFERENCE.match(reference)
    if match is None:
        raise ModelError(
            f"{reference!r} names no model version. Nothing was changed. "
            f"Write NAME@ALIAS or NAME/NUMBER, for example digits@champion or digits/1."
        )
    name, alias, number = match["name"], match["alias"], match["number"]
    try:
        record = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, number)
        )
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise  # the registry cannot be asked, which says nothing about the version
        raise ModelError(
            f"There is no model version {reference!r} in the registry. Nothing was changed. "
            f"`lethe model list` shows what there is."
        ) from error
    return VersionRef(name, int(record.version), alias), record


def check_model_name(name: str) -> None:
    """Refuse a name for a registered model that cannot be referred to later.

    Raises:
        ModelError: if it holds a character that references, links or searches give a meaning.
    """
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot name a registered model. Nothing was done. Use letters, digits, "
            f"spaces and . _ - only, for example digits-small."
        )


def parse_number(text: str) -> VersionRef:
    """A reference as `str(VersionRef)` writes it, such as a `lethe.parent` tag holds."""
    name, _, number = text.rpartition("/")
    return VersionRef(name, int(number))
