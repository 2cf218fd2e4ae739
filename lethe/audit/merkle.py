r"""Merkle trees over byte strings, as Certificate Transparency builds them (RFC 6962, section 2.1).

    tree = Tree(map(leaf_hash, leaves))
    path = tree.path(7)                                   # the hashes beside the way to the root
    verify_inclusion(leaves[7], 7, len(leaves), path, tree.root())

The root is one hash for all leaves and their order; a path of about log2(n) hashes shows that one
leaf is among them, and tells nothing of the others but hashes. A leaf is hashed with 0x00 before it
and a pair of hashes with 0x01, so that no pair can be passed off as a leaf. An odd hash at the end
of a level goes up as it is.

`Tree` keeps all levels, 64 bytes per leaf; `CompactRange` grows at its end with log2(n) hashes.

Needs the standard library alone.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 32  # bytes of a SHA-256 hash


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf (RFC 6962, 2.1): 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _is_hash(value: bytes) -> bool:
    return len(value) == WIDTH


@dataclass(frozen=True)
class CompactRange:
    """A tree that only grows: roots of its full subtrees, largest first, one per bit of `size`.

    Raises:
        ValueError: if peaks and size do not belong together.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a compact range has one peak for each bit that is set in its size")
        if not all(map(_is_hash, self.peaks)):
            raise ValueError("a peak is a SHA-256 hash of 32 bytes")

    def append(self, leaf_data: bytes) -> "CompactRange":
        """The range with one more leaf."""
        peaks = [*self.peaks, leaf_hash(leaf_data)]
        _fold(peaks, self.size)
        return CompactRange(self.size + 1, tuple(peaks))

    def root(self) -> bytes:
        """Root over all leaves so far, 32 bytes; of none, SHA-256 of nothing."""
        return _bagged(self.peaks)

    def to_hex(self) -> list[str]:
        """The peaks, hex, for JSON; keep the size beside them."""
        return [peak.hex() for peak in self.peaks]

    @classmethod
    def from_hex(cls, size: int, peaks: Iterable[str]) -> "CompactRange":
        """The range that `to_hex` wrote.

        Raises:
            ValueError: if peaks and size do not belong together.
        """
        return cls(size, tuple(bytes.fromhex(peak) for peak in peaks))


def _fold(peaks: list[bytes], size: int) -> None:
    """Join the last peaks, in place, after a leaf was put behind `size` leaves."""
    while size & 1:
        right = peaks.pop()
        peaks[-1] = _node(peaks[-1], right)
        size >>= 1


def _bagged(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return hashlib.sha256(b"").digest()
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = _node(peak, found)
    return found


class Tree:
    """A whole tree: each path costs O(log n). One `bytes` object per level saves memory.

    Args:
        leaf_hashes: what `leaf_hash` gave, in order.
    """

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        level = b"".join(leaf_hashes)
        if len(level) % WIDTH:
            raise ValueError("leaf hashes have 32 bytes each")
        self.size = len(level) // WIDTH
        self._levels = [level]
        while len(level) > WIDTH:
            level = _above(level)
            self._levels.append(level)

    def root(self) -> bytes:
        """Root over all leaves, 32 bytes."""
        return self._levels[-1] or hashlib.sha256(b"").digest()

    def path(self, index: int) -> tuple[bytes, ...]:
        """Audit path of a leaf (RFC 6962, 2.1.1): from its neighbour upwards.

        Raises:
            ValueError: if there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise ValueError("there is no leaf of that number")
        found = []
        for level in self._levels:
            beside = (index ^ 1) * WIDTH
            if beside < len(level):
                found.append(level[beside : beside + WIDTH])
            index >>= 1
        return tuple(found)


def _above(level: bytes) -> bytes:
    pairs = len(level) // (2 * WIDTH) * 2 * WIDTH
    # Two hashes that lie side by side are already the node's content.
    made = [
        hashlib.sha256(b"\x01" + level[at : at + 2 * WIDTH]).digest()
        for at in range(0, pairs, 2 * WIDTH)
    ]
    return b"".join(made) + level[pairs:]


def root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaves (RFC 6962, 2.1), 32 bytes; holds O(log n) of them at a time."""
    peaks: list[bytes] = []
    for size, leaf in enumerate(leaves):
        peaks.append(leaf_hash(leaf))
        _fold(peaks, size)
    return _bagged(peaks)


def audit_path(leaves: Iterable[bytes], index: int) -> tuple[bytes, ...]:
    """Audit path of one leaf; for many, make one `Tree`.

    Raises:
        ValueError: if there is no such leaf.
    """
    return Tree(map(leaf_hash, leaves)).path(index)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf's path leads to (RFC 9162, 2.1.3.2).

    Args:
        leaf: hash of the leaf, 32 bytes.
        index: its place, from 0.
        size: number of leaves.
        path: hashes of 32 bytes, from the leaf upwards.

    Raises:
        ValueError: if a path to this place in a tree of this size would have another length.
    """
    if not 0 <= index < size:
        raise ValueError("there is no leaf of that number")
    if not _is_hash(leaf) or not all(map(_is_hash, path)):
        raise ValueError("a hash of the path does not have 32 bytes")
    found, last = leaf, size - 1
    for beside in path:
        if last == 0:
            raise ValueError("the path is too long")
        if index & 1 or index == last:
            found = _node(beside, found)
            while not index & 1 and index:  # levels where this hash went up as it was
                index, last = index >> 1, last >> 1
        else:
            found = _node(found, beside)
        index, last = index >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return found


def verify_inclusion(
    data: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> bool:
    """Whether a leaf stands at a place in the tree of that size and root."""
    try:
        return root_from_path(leaf_hash(data), index, size, path) == expected_root
    except ValueError:
        return False
