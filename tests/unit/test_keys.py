"""The key behind the fingerprints."""

import stat
from concurrent.futures import ThreadPoolExecutor

from lethe.keys import record_key


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    key = record_key(tmp_path / "state" / "record.key")
    assert len(key) == 32
    assert record_key(tmp_path / "state" / "record.key") == key
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_many_that_start_together_all_get_one_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: record_key(tmp_path / "record.key"), range(64)))
    assert len(keys) == 1
