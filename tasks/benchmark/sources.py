"""Which code decides a figure: a digest over a module and all that it imports of its own packages.

    source_digest("lethe.unlearning.pte")

A result is kept under a key that holds this digest, so that a change of the code makes it anew and
a change elsewhere does not. Imports inside functions count; what is found by name at run time does
not.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


@lru_cache
def source_digest(*modules: str) -> str:
    """SHA-256 over the source of the modules and of all they import, directly or not, in hex.

    Modules of other top-level packages than these are left out; their versions are recorded.
    """
    packages = {name.partition(".")[0] for name in modules}
    found: dict[str, bytes] = {}
    open_ones = list(modules)
    while open_ones:
        name = open_ones.pop()
        if name in found or name.partition(".")[0] not in packages:
            continue
        path = _path(name)
        if path is None:
            continue
        found[name] = path.read_bytes()
        open_ones += _imported(ast.parse(found[name]))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\n".encode() + hashlib.sha256(found[name]).digest())
    return digest.hexdigest()


def _imported(tree: ast.Module) -> Iterator[str]:
    """Names that may be modules: `from a import b` gives both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # `a.b` where `a` is a module, not a package
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None
