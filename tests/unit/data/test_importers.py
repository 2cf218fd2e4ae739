import hashlib
import io
import os
import pickle
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat
from sklearn.datasets import load_digits

from lethe.data.errors import ImportFailedError
from lethe.data.importers import cwru, digits, watch
from lethe.data.importers.common import Originals, read_facts, stratified_test_mask
from lethe.data.importers.npz import Described, import_npz
from lethe.data.importers.pickled_arrays import read_object_npy
from lethe.data.info import DatasetInfo

SPLITS = ("train", "test")


def read(folder):
    return {s: pq.read_table(folder / f"{s}.parquet") for s in SPLITS}


def hashes(folder):
    return {s: hashlib.sha256((folder / f"{s}.parquet").read_bytes()).hexdigest() for s in SPLITS}


def x_of(table):
    return table["x"].combine_chunks().to_numpy_ndarray()


def nowhere(tmp_path):
    return Originals(mirror=None, cache=tmp_path / "cache")


# --- digits


def test_digits_are_those_of_scikit_learn_split_within_each_class(tmp_path):
    digits.prepare(tmp_path / "out", {"held_out": 0.3, "seed": 0}, nowhere(tmp_path))
    tables = read(tmp_path / "out")
    original = load_digits()
    assert {s: t.num_rows for s, t in tables.items()} == {"train": 1258, "test": 539}
    rows = {}
    for table in tables.values():
        for sample, label, x in zip(
            table["sample_id"].to_pylist(), table["label"].to_pylist(), x_of(table), strict=True
        ):
            rows[int(sample.rpartition("-")[2])] = (label, x)
    assert sorted(rows) == list(range(1797))
    for i, (label, x) in rows.items():
        assert label == str(original.target[i])
        np.testing.assert_array_equal(x[0] * 16, original.images[i])


def test_digits_give_the_same_bytes_again_and_others_by_another_seed(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        digits.prepare(tmp_path / name, {"held_out": 0.3, "seed": seed}, nowhere(tmp_path))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


def test_held_out_rows_are_a_share_of_every_class():
    y = np.repeat([0, 1, 2], [10, 100, 31])
    mask = stratified_test_mask(y, share=0.3, seed=1)
    assert [int(mask[y == c].sum()) for c in range(3)] == [3, 30, 9]


# --- watch


def recordings(lengths):
    random = np.random.default_rng(0)
    return [np.asfortranarray(random.standard_normal((n, 6))) for n in lengths]


def pickled_npy(value):
    """As numpy 1 wrote it: one object array of no dimensions, protocol 2."""
    array = np.array(value, dtype=object)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    content = pickle.dumps(array, protocol=2)
    return file.getvalue() + content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def make_wheel(path, lengths, y, subject):
    data = {
        "X": recordings(lengths),
        "y": np.array(y),
        "subject": np.array(subject),
        "side": np.zeros(len(y)),
        "y_labels": ["PEN", "ABD"],
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("seglearn/data/watch_dataset.npy", pickled_npy(data))
    return data


def test_a_wheel_and_the_mirror_of_its_windows_give_the_same_bytes(tmp_path):
    lengths, y, subject = (950, 500, 101, 99), (0, 1, 0, 1), (7, 7, 3, 3)
    data = make_wheel(tmp_path / "w.whl", lengths, y, subject)
    info = DatasetInfo.model_validate(read_facts("watch")["info"])
    wheel = {"member": "seglearn/data/watch_dataset.npy"}
    from_wheel = watch.read_wheel(tmp_path / "w.whl", wheel)

    starts = [(r, s) for r, n in enumerate(lengths) for s in range(0, n - 99, 50)]
    archive = tmp_path / "mirror.npz"
    np.savez(
        archive,
        X=np.stack([data["X"][r][s : s + 100] for r, s in starts]).astype(np.float32),
        y=np.array([y[r] for r, _ in starts]),
        subject=np.array([subject[r] for r, _ in starts]),
    )
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    from_mirror = watch.read_archive(archive, sha256)
    watch.write_windows(tmp_path / "a", info, from_wheel, held_out=0.3)
    watch.write_windows(tmp_path / "b", info, from_mirror, held_out=0.3)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    with pytest.raises(ImportFailedError, match="not the pinned original"):
        watch.read_archive(archive, "0" * 64)


def test_watch_windows_are_split_by_time_without_sharing_a_step(tmp_path):
    lengths = (950, 500, 1200)
    data = make_wheel(tmp_path / "w.whl", lengths, (0, 1, 0), (7, 7, 3))
    wheel = {"member": "seglearn/data/watch_dataset.npy"}
    info = DatasetInfo.model_validate(read_facts("watch")["info"])
    windows = watch.read_wheel(tmp_path / "w.whl", wheel)
    watch.write_windows(tmp_path / "out", info, windows, held_out=0.3)
    steps = {}
    for split, table in read(tmp_path / "out").items():
        for sample, subject, x in zip(
            table["sample_id"].to_pylist(),
            table["subject_id"].to_pylist(),
            x_of(table),
            strict=True,
        ):
            recording, start = sample.removeprefix("watch-").split("/")
            recording, start = int(recording), int(start)
            expected = data["X"][recording][start : start + 100].astype(np.float32)
            np.testing.assert_array_equal(x, expected.T)
            assert subject == ("subject-7", "subject-7", "subject-3")[recording]
            steps.setdefault((split, recording), set()).update(range(start, start + 100))
    for recording, length in enumerate(lengths):
        train, test = steps["train", recording], steps["test", recording]
        assert max(train) < min(test)
        assert len(test) == pytest.approx(0.3 * length, abs=100)


def test_arrays_in_a_pickle_are_read_without_unpickling():
    value = {
        "X": [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(3, dtype=">i4")],
        "names": ["ä", "b"],
        "none": None,
        "yes": True,
    }
    found = read_object_npy(pickled_npy(value))
    for one, other in zip(found.pop("X"), value.pop("X"), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert found == value


class Evil:
    def __reduce__(self):
        return (os.system, ("echo unpickled >&2; exit 1",))


@pytest.mark.parametrize(
    "value", [Evil(), [Evil()], {"X": print}, {"X": {1, 2}}, 1 + 2j, np.datetime64("2020-01-01")]
)
def test_a_pickle_that_asks_for_more_than_arrays_is_refused(value, capfd):
    with pytest.raises(ImportFailedError, match="was not read"):
        read_object_npy(pickled_npy([value]))
    assert "unpickled" not in capfd.readouterr().err


@pytest.mark.parametrize("cut", [3, 60, 200, -1])
def test_a_damaged_pickle_is_refused(cut):
    content = pickled_npy({"X": [np.zeros(20)], "names": ["a"]})
    with pytest.raises(ImportFailedError, match="was not read"):
        read_object_npy(content[:cut])


# --- CWRU


def make_cwru(folder):
    """Three recordings as .mat files and as an archive, with the facts that pin them."""
    random = np.random.default_rng(0)
    step, recordings, archive = 0.000162435129740519, [], {}
    for name, label, rate, samples in (
        ("faulty", "B007", 12_000, 12_345),
        ("other rate", "B007", 48_000, 9_000),
        ("normal", "Normal", 48_000, 60_000),
    ):
        counts = random.integers(-20_000, 20_000, samples, dtype=np.int16)
        file = folder / "cwru" / f"{name}.mat"
        file.parent.mkdir(exist_ok=True)
        savemat(file, {"X_DE": (counts * step)[:, None], "X_FE": np.zeros((3, 1))})
        archive[name] = counts
        recordings.append(
            {
                "name": name,
                "label": label,
                "rate_hz": rate,
                "samples": samples,
                "step": step,
                "file": file.name,
                "variable": "X_DE",
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        )
    path = folder / "archive" / "cwru" / "int16.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **archive)
    pin = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    facts = read_facts("cwru") | {"archive": pin, "recordings": recordings}
    return facts, archive, step


PARAMS = {"held_out": 0.3, "window": 1024, "hop": 1024, "normal_hop": 256}


def test_mat_files_and_the_archive_give_the_same_bytes(tmp_path):
    facts, _, _ = make_cwru(tmp_path)
    for name, mirror in (("mat", tmp_path), ("npz", tmp_path / "archive")):
        reader = cwru.reader_for(facts, Originals(mirror=mirror, cache=tmp_path / "none"))
        cwru.write_windows(tmp_path / name, facts, PARAMS, reader)
    assert hashes(tmp_path / "mat") == hashes(tmp_path / "npz")


def test_cwru_windows_are_split_by_time_without_crossing_the_cut(tmp_path):
    facts, archive, step = make_cwru(tmp_path)
    reader = cwru.reader_for(facts, Originals(mirror=tmp_path, cache=tmp_path))
    cwru.write_windows(tmp_path / "out", facts, PARAMS, reader)
    ends, starts = {}, {}
    for split, table in read(tmp_path / "out").items():
        for sample, x in zip(table["sample_id"].to_pylist(), x_of(table), strict=True):
            name, start = sample.split("/")
            stride = 4 if name == "normal" else 1
            if stride == 1:
                expected = archive[name][int(start) : int(start) + 1024] * step
                np.testing.assert_array_equal(x[0], expected.astype(np.float32))
            (ends if split == "train" else starts).setdefault(name, []).append(int(start))
            assert x.shape == (1, 1024)
    assert set(ends) == set(starts) == {"faulty", "normal"}
    for name, stride in (("faulty", 1), ("normal", 4)):
        cut = 0.7 * len(archive[name])
        assert max(ends[name]) + stride * 1024 <= cut + 1
        assert min(starts[name]) >= int(cut)
    assert np.diff(ends["normal"]).tolist() == [4 * 256] * (len(ends["normal"]) - 1)
    assert np.diff(starts["normal"]).tolist() == [4 * 1024] * (len(starts["normal"]) - 1)


def test_decimation_keeps_low_tones_in_place_and_removes_high_ones():
    time = np.arange(48_000) / 48_000
    for hertz, kept in ((100, 1.0), (5_000, 1.0), (6_500, 0.0), (11_000, 0.0), (20_000, 0.0)):
        tone = np.rint(10_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        filtered, offset = cwru.decimate(tone, 4)
        expected = (
            kept
            * 10_000
            * np.sin(2 * np.pi * hertz * (offset + 4 * np.arange(len(filtered))) / 48_000)
        )
        np.testing.assert_allclose(filtered / cwru.TAP_SCALE, expected, atol=10)
        assert np.array_equal(filtered, np.rint(filtered))


def test_a_changed_mat_file_is_refused(tmp_path):
    facts, archive, step = make_cwru(tmp_path)
    savemat(tmp_path / "cwru" / "faulty.mat", {"X_DE": archive["faulty"] * step * 1.1})
    reader = cwru.reader_for(facts, Originals(mirror=tmp_path, cache=tmp_path))
    with pytest.raises(ImportFailedError, match="not the pinned original"):
        cwru.write_windows(tmp_path / "out", facts, PARAMS, reader)
    (tmp_path / "cwru" / "faulty.mat").unlink()
    with pytest.raises(ImportFailedError, match="holds neither"):
        cwru.write_windows(tmp_path / "out", facts, PARAMS, reader)
    assert not (tmp_path / "out").exists()


def test_the_pinned_recordings_are_46_of_ten_classes():
    facts = read_facts("cwru")
    assert len({r["sha256"] for r in facts["recordings"]}) == 46
    assert sorted({r["label"] for r in facts["recordings"]}) == sorted(facts["info"]["classes"])
    twelve = [r for r in facts["recordings"] if r["rate_hz"] == 12_000]
    assert len(twelve) == 36


# --- anybody's arrays and pictures


def test_arrays_are_imported_with_their_ids_and_split(tmp_path):
    x = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    np.savez(
        tmp_path / "a.npz",
        x=x,
        y=np.array([10, 9, 10, 9, 10, 9]),
        sample_id=list("uvwxyz"),
        subject_id=["p", "", "q", "p", "q", "p"],
        split=["train", "train", "test", "train", "test", "train"],
    )
    info = import_npz(tmp_path / "a.npz", tmp_path / "out", Described("mine", licence="CC0"))
    tables = read(tmp_path / "out")
    assert info.classes == ("9", "10")
    assert info.shape == (2, 2)
    assert info.licence == "CC0"
    assert tables["train"]["sample_id"].to_pylist() == ["u", "v", "x", "z"]
    assert tables["train"]["subject_id"].to_pylist() == ["p", None, "p", "p"]
    assert tables["test"]["label"].to_pylist() == ["10", "10"]
    np.testing.assert_array_equal(x_of(tables["test"]), x[[2, 4]])


def test_arrays_without_a_split_are_held_out_by_seed(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((40, 3)), y=np.repeat(["no", "yes"], 20))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        import_npz(tmp_path / "a.npz", tmp_path / name, Described("m", held_out=0.25, seed=seed))
    assert read(tmp_path / "a")["test"]["label"].to_pylist() == ["no"] * 5 + ["yes"] * 5
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": np.zeros((2, 1))}, "lacks"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(3)}, "one entry per row"),
        ({"x": np.zeros(2), "y": np.zeros(2)}, "two dimensions"),
        ({"x": np.full((2, 1), np.nan), "y": np.zeros(2)}, "finite"),
        ({"x": np.array([["a"], ["b"]]), "y": np.zeros(2)}, "not numbers"),
        ({"x": np.array([[Evil()]], dtype=object), "y": np.zeros(1)}, "plain arrays"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(2), "sample_id": ["s", "s"]}, "not unique"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(2), "split": ["train", "dev"]}, "other than"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(2), "split": ["test", "test"]}, "for training"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, capfd, arrays, reason):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ImportFailedError, match=reason):
        import_npz(tmp_path / "a.npz", tmp_path / "out", Described("mine"))
    assert not (tmp_path / "out").exists()
    assert "unpickled" not in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ImportFailedError, match=r"no \.npz file"):
        import_npz(tmp_path / "a.npz", tmp_path / "out", Described("mine"))
