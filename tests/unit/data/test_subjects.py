"""Subject ids come in the order of the rows, and people's fingerprints need the key."""

import pytest

from lethe.data.digest import subject_fingerprint


def test_a_fingerprint_needs_the_key_and_is_not_that_of_a_row():
    one = subject_fingerprint(b"key", "p1")
    assert len(one) == 64
    assert one == subject_fingerprint(b"key", "p1")
    assert one != subject_fingerprint(b"other", "p1")
    assert one != subject_fingerprint(b"key", "p2")
    with pytest.raises(ValueError, match="empty key"):
        subject_fingerprint(b"", "p1")
