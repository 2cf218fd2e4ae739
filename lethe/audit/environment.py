"""What was installed and what ran, for the record."""

import hashlib
import platform
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions, version

from lethe.audit.predicate import Code


def environment_digest(installed: Iterable[Distribution] | None = None) -> str:
    """SHA-256 over the sorted lines `name==version` of what is installed, in hex.

    Names are normalised (PEP 503) and every line ends with a newline.
    """
    found = distributions() if installed is None else installed
    named = ((one.metadata["Name"], one.version) for one in found)
    lines = {f"{re.sub(r'[-_.]+', '-', name).lower()}=={release}\n" for name, release in named}
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def running_code(commit: str | None = None) -> Code:
    """The code section of a statement, for this process.

    Args:
        commit: the git commit of Lethe's own code, a full sha, if it runs from its repository.
    """
    return Code(
        lethe=version("lethe"),
        commit=commit,
        python=platform.python_version(),
        platform=platform.platform(),
        environment_sha256=environment_digest(),
    )
