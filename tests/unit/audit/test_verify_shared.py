"""A long chain examined by two processes: the same report, whatever happens to the processes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from audit_trails import (
    END,
    ID,
    LINES,
    RING,
    SECOND,
    chain,
    checkpoint,
    files_of,
    json_of,
    new_ring,
    new_signer,
    pack,
    receipt,
    write,
    wrong,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_verify import BLOCKED

from lethe.audit.dsse import sign
from lethe.audit.verify import shared, verify_bundle
from lethe.audit.verify.examine import examine, packed, unpacked
from lethe.audit.verify.shared import Worker, examined

ROOT = Path(__file__).parents[3]
SOON = 60  # seconds in which something surely ends that does not hang


def told(found):
    """All of what was found, for comparison."""
    return [packed(one) for one in found]


@pytest.fixture
def at_once(monkeypatch):
    """Processes from the first record on, in batches of three."""
    monkeypatch.setattr(shared.examined, "__kwdefaults__", {"alone": 0})
    monkeypatch.setattr(shared, "BATCH", 3)


@pytest.fixture
def workers(monkeypatch):
    """The workers that were started, as they are started."""
    started = []

    class Watched(Worker):
        def __init__(self, ring):
            super().__init__(ring)
            started.append(self)

    monkeypatch.setattr(shared, "Worker", Watched)
    return started


def process(worker):
    return worker._process


def both(path, **options):
    one, two = (verify_bundle(path, workers=number, **options) for number in (1, 2))
    assert one.lines() == two.lines()
    assert one.to_json() == two.to_json()
    return two


@pytest.mark.usefixtures("at_once")
class TestTheSameReport:
    def test_of_a_good_chain_with_its_receipts(self, tmp_path, workers):
        inside = {"receipts/r.json": json.dumps(receipt()).encode()}
        report = both(write(tmp_path / "b.zip", extra=inside), key_id=ID, checkpoint=END)
        assert report.exit_code == 0
        assert report.good_by_kind["records"] == 12
        assert report.good_by_kind["receipts"] == 1
        assert len(workers) == 2
        assert all(process(one).returncode is not None for one in workers)

    def test_of_a_part_with_its_proofs(self, tmp_path, workers):
        report = both(write(tmp_path / "b.zip", LINES[2:9], {"from": 3, "to": 9}), keys=RING)
        assert report.good_by_kind["proofs"] == 7
        assert len(workers) == 2

    @pytest.mark.parametrize(
        "lines",
        [[], LINES[1:], [*LINES[:4], b"", *LINES[4:]], LINES[::-1], LINES[:6], [b"x"] * 9],
        ids=["none", "first gone", "empty line", "turned round", "cut", "nonsense"],
    )
    def test_of_a_chain_that_is_not_in_order(self, tmp_path, lines):
        assert wrong(both(write(tmp_path / "b.zip", lines), keys=RING, receipt=receipt()))

    def test_where_the_file_ends_badly_that_is_told_after_its_records(self, tmp_path):
        """Both read ahead; an early record is wrong, too."""
        files = files_of(write(tmp_path / "b.zip", [*LINES[:9], LINES[10], LINES[11]]))
        files["statements.jsonl"] = files["statements.jsonl"].removesuffix(b"\n")
        found = wrong(both(pack(tmp_path / "c.zip", files), keys=RING))
        assert ["record 11" in found[0], "cut short" in found[-2]] == [True, True]

    def test_where_the_keys_are_not_known(self, tmp_path):
        files = files_of(write(tmp_path / "b.zip"))
        report = both(pack(tmp_path / "c.zip", {**files, "keyring.json": b"{}"}))
        assert sum("is not in the key ring" in words for words in wrong(report)) == 13


def changed(files, draw):
    """Files of a bundle with records changed, moved, left out or signed anew."""
    lines = files["statements.jsonl"].splitlines()
    for kind, one, other, bits in draw:
        if not lines:
            break
        at, to = one % len(lines), other % len(lines)
        if kind == "byte":
            data = bytearray(lines[at])
            if data:
                data[other % len(data)] ^= bits
            lines[at] = bytes(data).replace(b"\n", b" ")
        elif kind == "swap":
            lines[at], lines[to] = lines[to], lines[at]
        elif kind == "drop":
            del lines[at]
        elif kind == "again":
            lines.insert(to, lines[at])
        elif kind == "anew" and lines[at] in LINES:
            statement = json.loads(json_of(lines[at]))
            statement["predicate"]["record"]["key_id"] = SECOND.key_id
            statement["predicate"]["run_id"] = f"run-{to}"
            statement["predicate"]["gates"][0]["measured"] = bits
            lines[at] = sign(json.dumps(statement).encode(), SECOND).line()
    return {**files, "statements.jsonl": b"".join(line + b"\n" for line in lines)}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["byte", "swap", "drop", "again", "anew"]),
        st.integers(0, 11),
        st.integers(0, 9_999),
        st.integers(1, 255),
    ),
    max_size=4,
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(CHANGES, st.booleans())
@pytest.mark.usefixtures("at_once")
def test_one_and_two_processes_report_the_same_whatever_was_changed(tmp_path, draw, whole):
    what, lines = ({"all": True}, LINES) if whole else ({"from": 3, "to": 9}, LINES[2:9])
    kept = tmp_path / f"{whole}.zip"
    files = files_of(kept if kept.exists() else write(kept, lines, what))
    after = changed(files, draw)
    report = both(pack(tmp_path / "c.zip", after), key_id=ID, receipt=receipt())
    assert (report.exit_code == 0) == (after == files)


@given(st.integers(0, 11), st.integers(0, 9_999), st.integers(0, 255))
def test_what_is_carried_over_is_what_was_found(place, position, bits):
    data = bytearray(LINES[place])
    data[position % len(data)] ^= bits
    line = bytes(data)
    here = examine(line, RING)
    there = unpacked(json.loads(json.dumps(packed(here))), line)
    assert packed(there) == packed(here)
    assert there.said == here.said
    if here.link is not None:
        assert there.statement() == here.statement()
        assert there.link.name == here.link.name


def test_a_worker_answers_and_needs_nothing_but_cryptography_and_rfc8785(monkeypatch):
    """Where any other import fails; and it does the work itself, for all the rest falls back."""
    monkeypatch.setattr(shared, "_START", BLOCKED + shared._START)
    batches = [LINES[:7], [b"nonsense"], [], LINES[7:]]
    with Worker(RING) as worker:
        for batch in batches:
            worker.send(batch)
        for batch in batches:
            found = worker.receive(batch)
            assert found is not None
            assert told(found) == told(examine(line, RING) for line in batch)
    code = BLOCKED + "import pydantic\n"
    monkeypatch.setattr(shared, "_START", code + shared._START)
    with Worker(RING) as worker:
        assert worker.receive(LINES) is None


class TestLostProcesses:
    @pytest.mark.parametrize("killed", [{0}, {1}, {0, 1}], ids=str)
    @pytest.mark.parametrize("after", [0, 1, 7])
    def test_one_that_is_killed_is_done_without(self, monkeypatch, workers, killed, after):
        """At any time; nothing is lost, nothing comes twice, and nothing hangs."""
        monkeypatch.setattr(shared, "BATCH", 2)
        lines = [*LINES[:5], b"nonsense", *LINES[6:]] * 4

        def fed():
            for number, line in enumerate(lines):
                if number == 4 + after:  # both have been started by now
                    for one in killed:
                        process(workers[one]).send_signal(signal.SIGKILL)
                yield line

        with closing(examined(fed(), RING, 2, alone=1)) as found:
            assert told(found) == told(examine(line, RING) for line in lines)

    @pytest.mark.usefixtures("at_once")
    def test_a_forged_record_is_found_when_its_process_is_killed(
        self, tmp_path, monkeypatch, workers
    ):
        lines = [*LINES[:4], sign(json_of(LINES[4]), new_signer()).line(), *LINES[5:]]
        send = Worker.send

        def kill_first(self, batch):
            process(self).kill()
            send(self, batch)

        monkeypatch.setattr(Worker, "send", kill_first)
        path = write(tmp_path / "b.zip", lines)
        report = verify_bundle(path, keys=RING, workers=2)
        assert report.lines() == verify_bundle(path, keys=RING, workers=1).lines()
        assert any("record 5" in words for words in wrong(report))
        assert [process(one).returncode for one in workers] == [-signal.SIGKILL] * 2

    @pytest.mark.parametrize("says", ["[]", "{}", "nonsense", "[[1]]", ""])
    def test_one_that_answers_nonsense_is_not_believed(self, monkeypatch, says):
        code = f"import sys\nfor line in sys.stdin.buffer: print({says!r}, flush=True)"
        monkeypatch.setattr(shared, "_START", code)
        with closing(examined(LINES, RING, 2, alone=0)) as found:
            assert told(found) == told(examine(line, RING) for line in LINES)

    def test_where_none_can_be_started_all_is_done_here(self, monkeypatch, tmp_path):
        for executable in (str(tmp_path / "nowhere"), "", None):
            monkeypatch.setattr(sys, "executable", executable)
            with closing(examined(LINES, RING, 2, alone=0)) as found:
                assert told(found) == told(examine(line, RING) for line in LINES)

    def test_answers_that_fill_the_pipe_keep_nobody_waiting(self, monkeypatch):
        """Each record comes back with 4,000 texts, more than a pipe holds, and is longer."""
        monkeypatch.setattr(Worker, "_widen", lambda _: None)
        statement = json.loads(json_of(LINES[0]))
        statement["predicate"]["requests"] = [{"id": "x"}]
        statement["predicate"]["gates"] = [{"comparison": "<=", "passed": True, "measured": 2,
                                            "threshold": 1}] * 4_000  # fmt: skip
        line = sign(json.dumps(statement).encode(), SECOND).line()
        with closing(examined([line] * 8, RING, 2, alone=0)) as found:
            results = list(found)
        assert len(results) == 8
        assert all(len(one.content) > 4_000 for one in results)


class TestNothingStays:
    def test_leaving_early_ends_the_processes(self, monkeypatch, workers):
        monkeypatch.setattr(shared, "BATCH", 1)
        with closing(examined(LINES, RING, 2, alone=0)) as found:
            next(found)
            assert [process(one).poll() for one in workers] == [None, None]
        assert all(process(one).returncode is not None for one in workers)

    @pytest.mark.usefixtures("at_once")
    def test_an_interrupt_ends_the_processes(self, tmp_path, monkeypatch, workers):
        def interrupted(self, batch):
            raise KeyboardInterrupt

        monkeypatch.setattr(Worker, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            verify_bundle(write(tmp_path / "b.zip"), workers=2)
        assert len(workers) == 2
        assert all(process(one).returncode is not None for one in workers)

    def test_when_the_first_process_is_killed_the_others_end_by_themselves(self):
        """They end at the end of their input, which is seen as the end of their output."""
        code = (
            "import os, signal, sys; sys.path[:] = eval(sys.argv[1])\n"
            "from lethe.audit.keyring import KeyRing\n"
            "from lethe.audit.verify.shared import Worker\n"
            "made = [Worker(KeyRing(())) for _ in range(2)]\n"
            "print(*[one._process.pid for one in made], flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, repr(sys.path)],
            capture_output=True, text=True, check=False, timeout=SOON, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL
        for pid in map(int, done.stdout.split()):
            wait_for_end(pid)


def wait_for_end(pid):
    """Until a process that is not our child has ended; it fails when it takes too long."""
    try:
        known = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        assert select.select([known], [], [], SOON)[0]
    finally:
        os.close(known)


class TestWhenToShare:
    def test_a_short_chain_starts_no_process(self, tmp_path, workers):
        assert verify_bundle(write(tmp_path / "b.zip"), keys=RING, workers=2).exit_code == 0
        assert workers == []

    def test_a_long_one_does_by_itself_when_there_are_two_processors(
        self, tmp_path, monkeypatch, workers
    ):
        first, second = new_signer(), new_signer()
        ring = new_ring(first, second)
        lines, digests = chain(first, second, 30)
        end = checkpoint(lines, second, ring)
        path = write(tmp_path / "b.zip", lines, ring=ring, end=end, digests=digests)
        monkeypatch.setattr(shared.examined, "__kwdefaults__", {"alone": 29})
        for allowed, number in ((1, 0), (2, 2)):
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=allowed: set(range(n)))
            assert verify_bundle(path, keys=ring).exit_code == 0
            assert len(workers) == number
        monkeypatch.setattr(shared.examined, "__kwdefaults__", {"alone": 30})
        verify_bundle(path, keys=ring, workers=2)
        assert len(workers) == 2

    def test_no_more_is_read_ahead_than_the_batches_under_way(self, monkeypatch):
        monkeypatch.setattr(shared, "BATCH", 2)
        read = []

        def fed():
            for line in LINES * 20:
                read.append(line)
                yield line

        ahead = []
        with closing(examined(fed(), RING, 2, alone=0)) as found:
            for number, _ in enumerate(found, 1):
                ahead.append(len(read) - number)
        assert max(ahead) <= 2 * 2 * 2 + 1
