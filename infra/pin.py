"""Puts digests behind the tags of all images that the files of infra/ name.

    python infra/pin.py            # looks each up with `docker buildx imagetools` and writes it
    python infra/pin.py --check    # 1 if one is named by its tag alone; writes nothing

A tag can be moved to another image, a digest cannot. Run it where Docker and a network are, look at
`git diff`, and commit that. Running it again renews the digests of the tags that are there.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

INFRA = Path(__file__).resolve().parent
# Images of others: the repository of these is theirs, that of Lethe's own is yours.
IMAGE = re.compile(
    r"(?P<before>^FROM |image: )(?P<tag>(?!lethe-)[a-z0-9][a-z0-9./-]*:[\w.-]+)"
    r"(?P<digest>@sha256:\w+)?",
    re.MULTILINE,
)


def files() -> list[Path]:
    """Every file that names images of others."""
    found = [*INFRA.glob("compose/*.yaml"), *INFRA.glob("kubernetes/**/*.yaml")]
    return sorted([INFRA / "images" / "Dockerfile", *found])


def look_up(tag: str) -> str:
    """The digest of a tag, as its registry has it now: `sha256:...`."""
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{.Manifest.Digest}}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def pinned(text: str, digest_of: Callable[[str], str]) -> str:
    """The text with a digest behind every tag.

    Raises:
        ValueError: if what was looked up is no digest.
    """

    def replace(found: re.Match[str]) -> str:
        digest = digest_of(found["tag"])
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise ValueError(f"{found['tag']} has no digest: nothing of this file was changed")
        return f"{found['before']}{found['tag']}@{digest}"

    return IMAGE.sub(replace, text)


def unpinned(text: str) -> list[str]:
    """Images that are named by their tag alone."""
    return [found["tag"] for found in IMAGE.finditer(text) if not found["digest"]]


def main() -> int:
    """Pin, or check."""
    parser = argparse.ArgumentParser(description="Pin images by their digests")
    parser.add_argument("--check", action="store_true", help="only say which are not pinned")
    if parser.parse_args().check:
        missing = sorted({tag for file in files() for tag in unpinned(file.read_text("utf-8"))})
        print("\n".join(f"{tag} is named by its tag alone" for tag in missing))
        return 1 if missing else 0
    known: dict[str, str] = {}

    def digest_of(tag: str) -> str:
        if tag not in known:
            known[tag] = look_up(tag)
            print(f"{tag} {known[tag]}")
        return known[tag]

    for file in files():
        file.write_text(pinned(file.read_text("utf-8"), digest_of), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
