"""Merkle trees: published vectors, an independent definition, and paths that do not fit."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.audit import merkle

# The inputs and roots that the certificate-transparency project publishes with RFC 6962.
INPUTS = [
    bytes.fromhex(data)
    for data in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {  # (index, size): audit path, published likewise
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
LEAVES = st.lists(st.binary(max_size=4), max_size=70)


def sha(data):
    return hashlib.sha256(data).digest()


def split(count):
    """The largest power of two below a count (RFC 6962, 2.1)."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def naive_root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\x00" + leaves[0])
    k = split(len(leaves))
    return sha(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:]))


def naive_path(index, leaves):
    if len(leaves) == 1:
        return ()
    k = split(len(leaves))
    if index < k:
        return (*naive_path(index, leaves[:k]), naive_root(leaves[k:]))
    return (*naive_path(index - k, leaves[k:]), naive_root(leaves[:k]))


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(size):
    assert merkle.root(INPUTS[:size]).hex() == ROOTS[size]
    assert merkle.Tree(map(merkle.leaf_hash, INPUTS[:size])).root().hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_the_published_paths(index, size):
    path = merkle.audit_path(INPUTS[:size], index)
    assert [one.hex() for one in path] == PATHS[index, size]
    assert merkle.verify_inclusion(INPUTS[index], index, size, path, bytes.fromhex(ROOTS[size]))


@given(LEAVES)
def test_roots_and_paths_are_those_of_the_definition(leaves):
    tree = merkle.Tree(map(merkle.leaf_hash, leaves))
    assert merkle.root(leaves) == tree.root() == naive_root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        assert path == naive_path(index, leaves)
        assert merkle.verify_inclusion(leaf, index, len(leaves), path, tree.root())


def test_a_compact_range_has_the_root_of_the_whole_tree_at_every_size():
    found, leaves = merkle.CompactRange(), []
    for size in range(301):
        assert found.size == size
        assert found.root() == merkle.root(leaves)
        assert len(found.peaks) == size.bit_count()
        assert merkle.CompactRange.from_hex(size, found.to_hex()) == found
        leaves.append(str(size).encode())
        found = found.append(leaves[-1])


@pytest.mark.parametrize(
    ("size", "peaks"), [(-1, ()), (1, ()), (2, ("00" * 32,) * 2), (1, ("00",)), (1, ("no hex",))]
)
def test_peaks_that_do_not_belong_to_the_size_are_refused(size, peaks):
    with pytest.raises(ValueError, match=r"peak|hexadecimal"):
        merkle.CompactRange.from_hex(size, peaks)


@settings(max_examples=200)
@given(st.integers(1, 40), st.data())
def test_a_path_holds_for_its_leaf_place_and_root_alone(size, data):
    leaves = [str(number).encode() for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = merkle.audit_path(leaves, index)
    root = merkle.root(leaves)
    leaf = leaves[index]

    assert merkle.verify_inclusion(leaf, index, size, path, root)
    assert not merkle.verify_inclusion(leaf + b"?", index, size, path, root)
    assert not merkle.verify_inclusion(leaf, index, size, path, sha(root))
    for other in set(range(-1, size + 2)) - {index}:
        assert not merkle.verify_inclusion(leaf, other, size, path, root)
    assert not merkle.verify_inclusion(leaf, index, size, (*path, root), root)
    for at, one in enumerate(path):
        assert not merkle.verify_inclusion(leaf, index, size, path[:at], root)
        changed = (*path[:at], sha(one), *path[at + 1 :])
        assert not merkle.verify_inclusion(leaf, index, size, changed, root)
        short = (*path[:at], one[:-1], *path[at + 1 :])
        assert not merkle.verify_inclusion(leaf, index, size, short, root)


@pytest.mark.parametrize(
    ("index", "size", "hashes", "words"),
    [
        (0, 0, 0, "no leaf"),
        (3, 3, 2, "no leaf"),
        (-1, 3, 2, "no leaf"),
        (0, 8, 2, "too short"),
        (0, 8, 4, "too long"),
        (2, 3, 2, "too long"),
        (2, 3, 0, "too short"),
    ],
)
def test_a_path_of_the_wrong_length_is_refused(index, size, hashes, words):
    with pytest.raises(ValueError, match=words):
        merkle.root_from_path(sha(b"leaf"), index, size, [sha(b"beside")] * hashes)


def test_a_pair_of_hashes_is_no_leaf():
    left, right = (merkle.leaf_hash(leaf) for leaf in INPUTS[:2])
    assert merkle.root([left + right]) != merkle.root(INPUTS[:2])


@pytest.mark.parametrize("index", [-1, 3])
def test_a_tree_has_no_path_of_a_leaf_that_is_not_there(index):
    with pytest.raises(ValueError, match="no leaf"):
        merkle.audit_path(INPUTS[:3], index)


def test_leaves_that_were_not_hashed_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        merkle.Tree([b"short"])
