"""Read the policy file.

policy = load_policy(settings.policy_file, settings)
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lethe.deletion.policy.model import Policy
from lethe.errors import PolicyError
from lethe.settings import Settings, load_settings

# What pydantic says of Python's types, in TOML's words.
_IN_TOML = {
    "extra_forbidden": "there is no such key",
    "missing": "is missing",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "datetime_type": "must be a date and time with its offset, such as 2026-12-01T00:00:00Z",
    "timezone_aware": "must have an offset, such as 2026-12-01T00:00:00Z",
}


def load_policy(path: Path, settings: Settings | None = None) -> Policy:
    """The policy in a TOML file; without the file, `no_policy`.

    Args:
        path: the file, usually `settings.policy_file`.
        settings: give the alias and the repository where the policy names none; default: those of
            this process.

    Raises:
        PolicyError: if the file cannot be read or is wrong. It names the file, each key and the
            reason, never a value.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return no_policy(settings)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"it is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, f"it cannot be read: {type(error).__name__}") from None
    return read_policy(table, path, settings)


def read_policy(table: dict[str, Any], path: Path, settings: Settings | None = None) -> Policy:
    """The policy in a table that was read from a file.

    Raises:
        PolicyError: as `load_policy`.
    """
    try:
        return Policy.model_validate(table, context=_context(settings))
    except ValidationError as error:
        reasons = _reasons(error)
    # Raised here: an exception keeps the one that it was raised in, and that one has the values.
    raise _wrong(path, "; ".join(reasons))


def no_policy(settings: Settings | None = None) -> Policy:
    """What holds without a policy file: the source "cli" alone, all else by the settings."""
    return Policy.model_validate({"version": "none"}, context=_context(settings))


def _context(settings: Settings | None) -> dict[str, str]:
    settings = load_settings() if settings is None else settings
    return {"alias": settings.models.alias, "repository": settings.data.repository}


def _reasons(error: ValidationError) -> list[str]:
    """Key and reason of each mistake, without the value."""
    reasons = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in one["loc"])
        reason = _IN_TOML.get(one["type"]) or one["msg"].removeprefix("Value error, ")
        reasons.append(f"{key}: {reason}" if key else reason)
    return reasons


def _wrong(path: Path, reason: str) -> PolicyError:
    return PolicyError(
        f"The policy {path} is wrong: {reason}. It was not put into force. Correct it and type "
        f"`lethe policy check`; docs/policy.md explains every key."
    )
