"""How a network is named, so that it can be built again: an import path and keyword arguments.

Building one runs code, and the name comes from a registry that others can write to. So only modules
on the allow-list `models.factories` are ever imported. A network under a patch names the network
below it, which is built by the same rules; see `lethe.models.patched`.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from lethe.errors import ModelError

PATCHED: Final = "lethe.models.patched:patched"
FACTORY_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Architecture(BaseModel):
    """A callable that makes the network, as `package.module:callable`, and its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    factory: str = Field(pattern=FACTORY_PATTERN)
    kwargs: Mapping[str, Any] = Field(default_factory=dict)


def build(architecture: Architecture, allowed: Sequence[str]) -> nn.Module:
    """A freshly initialised network.

    Args:
        architecture: what to build.
        allowed: modules, or packages with everything below them, that may be imported.

    Raises:
        ModelError: if the module is not allowed, cannot be imported, or makes no `nn.Module`.
    """
    if architecture.factory == PATCHED:
        return _build_patched(architecture, allowed)
    module_name, _, attribute = architecture.factory.partition(":")
    if not any(module_name == name or module_name.startswith(f"{name}.") for name in allowed):
        listed = ", ".join(f'"{name}"' for name in (*allowed, module_name))
        raise ModelError(
            f"The network is built by {architecture.factory!r}, and {module_name!r} is not among "
            f"the modules that may be imported. Nothing was imported or changed. If you trust it, "
            f"set LETHE_MODELS__FACTORIES='[{listed}]' and try again."
        )
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
        network = factory(**architecture.kwargs)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The network cannot be built by {architecture.factory!r}: {error}. Nothing was "
            f"changed. Install the package that holds it, name its folder in PYTHONPATH, or pair "
            f"the version with another factory by `lethe model adopt`."
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{architecture.factory!r} made a {type(network).__name__}, not a torch.nn.Module. "
            f"Nothing was changed. Name a factory that returns the network itself."
        )
    return network


def _build_patched(architecture: Architecture, allowed: Sequence[str]) -> nn.Module:
    from lethe.models.patched import BASE, patched

    sizes = dict(architecture.kwargs)
    try:
        base = Architecture.model_validate(sizes.pop(BASE))
        return patched(base=build(base, allowed), **sizes)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The patch on this network cannot be built: {error}. Nothing was changed. The version "
            f"under it is its tag lethe.parent; `lethe model show` prints it."
        ) from error
