"""Write-once copies against an S3 server in this process (moto)."""

import socket
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError
from dateutil.relativedelta import relativedelta
from moto.server import ThreadedMotoServer

from lethe.audit import anchor as module
from lethe.audit.anchor import AnchorError, S3Anchor

NAME = "records/000000004.json"
KEY = f"audit/{NAME}"
BODY = b'{"payload":"a"}'


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3(endpoint):
    return boto3.client("s3", endpoint_url=endpoint)


def bucket(s3, *, lock):
    name = f"b{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
    return name


@pytest.fixture
def locked(s3, endpoint):
    return S3Anchor(bucket(s3, lock=True), "audit/", endpoint_url=endpoint)


@pytest.fixture
def unlocked(s3, endpoint):
    return S3Anchor(bucket(s3, lock=False), "audit", mode=None, endpoint_url=endpoint)


@pytest.fixture(params=["locked", "unlocked"])
def either(request):
    return request.getfixturevalue(request.param)


def refuses(*words, work):
    """The message of the refusal, which holds these words and no secret."""
    with pytest.raises(AnchorError) as caught:
        work()
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert not any(word in text for word in ("test-access-key", "test-secret-key", "?", "http"))
    assert caught.value.exit_code == 9
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, AnchorError)
    return text


def test_a_copy_is_written_once_and_the_same_bytes_again_do_no_harm(either):
    either.check()
    assert either.get(NAME) is None
    assert either.put(NAME, BODY) is True
    assert replace(either).put(NAME, BODY) is False
    assert either.get(NAME) == BODY


def test_other_bytes_of_the_same_name_are_refused_and_change_nothing(either):
    either.put(NAME, BODY)
    refuses(NAME, "other bytes", "Nothing was written", work=lambda: either.put(NAME, b"{}"))
    assert either.get(NAME) == BODY


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_copy_is_locked_for_the_months_that_were_set(locked, s3, mode):
    before = datetime.now(UTC).replace(microsecond=0)
    anchor = replace(locked, mode=mode, retain_months=7)
    anchor.put(NAME, BODY)

    head = s3.head_object(Bucket=anchor.bucket, Key=KEY, ChecksumMode="ENABLED")
    assert head["ObjectLockMode"] == mode
    until = head["ObjectLockRetainUntilDate"]
    assert before <= until - relativedelta(months=7) <= datetime.now(UTC) + relativedelta(days=3)
    assert head["ContentType"] == "application/json"
    assert head["ChecksumSHA256"]


def test_a_locked_copy_cannot_be_deleted_and_one_without_a_lock_can(locked, unlocked, s3):
    locked.put(NAME, BODY)
    (version,) = s3.list_object_versions(Bucket=locked.bucket, Prefix=KEY)["Versions"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=locked.bucket, Key=KEY, VersionId=version["VersionId"])
    assert locked.get(NAME) == BODY

    unlocked.put(NAME, BODY)
    s3.delete_object(Bucket=unlocked.bucket, Key=KEY)
    assert unlocked.get(NAME) is None


@pytest.mark.parametrize("body", [BODY, b"{}", None])
def test_what_is_put_over_a_locked_copy_is_reported(locked, s3, body):
    locked.put(NAME, BODY)
    if body is None:
        s3.delete_object(Bucket=locked.bucket, Key=KEY)
    else:
        s3.put_object(Bucket=locked.bucket, Key=KEY, Body=body)

    refuses(NAME, "written over or marked as deleted", work=lambda: locked.get(NAME))
    assert list(locked.names()) == [NAME]
    kept = s3.list_object_versions(Bucket=locked.bucket, Prefix=KEY)["Versions"][-1]["VersionId"]
    answer = s3.get_object(Bucket=locked.bucket, Key=KEY, VersionId=kept)
    assert answer["Body"].read() == BODY


def test_a_name_that_another_one_begins_with_is_not_mistaken_for_it(locked):
    locked.put(NAME, BODY)
    locked.put(f"{NAME}.old", b"{}")
    assert locked.get(NAME) == BODY
    assert locked.get("records/0") is None


def test_names_are_listed_in_order_over_many_pages(either, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    either.check()
    names = [f"records/{number:09}.json" for number in range(7)]
    for name in reversed(names):
        either.put(name, BODY)
    either.put("checkpoints/1.json", BODY)
    replace(either, prefix="audit-of-others").put("records/8.json", BODY)

    assert list(either.names("records/")) == names
    assert list(either.names()) == ["checkpoints/1.json", *names]
    assert list(either.names("nothing")) == []


def test_a_check_leaves_nothing_but_its_probe_and_can_be_repeated(either, s3):
    for _ in range(3):
        either.check()
    versions = s3.list_object_versions(Bucket=either.bucket)["Versions"]
    assert [one["Key"] for one in versions] == ["audit/.write-once"]
    assert list(either.names()) == []


def test_a_bucket_without_object_lock_is_refused_before_any_work(unlocked, s3):
    anchor = replace(unlocked, mode="COMPLIANCE")
    refuses("lacks Object Lock", 'audit.s3.lock = "none"', "No copy", work=anchor.check)
    assert "Contents" not in s3.list_objects_v2(Bucket=anchor.bucket)
    unlocked.check()


def test_an_endpoint_that_ignores_if_none_match_is_found_out(either):
    def leave_out(request, **_):
        del request.headers["If-None-Match"]

    either._client.meta.events.register("before-sign.s3.PutObject", leave_out)
    refuses("If-None-Match", "audit.s3.endpoint_url", work=either.check)


def test_a_bucket_that_is_not_there_is_refused(locked):
    anchor = replace(locked, bucket="nowhere")
    refuses("s3://nowhere/audit/", "404", work=anchor.check)
    refuses("NoSuchBucket", "No copy", work=lambda: anchor.put(NAME, BODY))
    refuses("NoSuchBucket", work=lambda: anchor.get(NAME))
    refuses("NoSuchBucket", work=lambda: replace(anchor, mode=None).get(NAME))
    refuses("NoSuchBucket", work=lambda: list(anchor.names()))


def test_an_endpoint_that_cannot_be_reached_is_told(locked):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"http://user:test-secret-key@127.0.0.1:{taken.getsockname()[1]}"
        anchor = replace(locked, endpoint_url=url)
        refuses("cannot be used", "audit.s3.endpoint_url", work=anchor.check)


def test_an_address_that_is_none_and_credentials_that_are_missing_are_told(locked, monkeypatch):
    refuses("ValueError", work=replace(locked, endpoint_url="no address").check)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    refuses("NoCredentialsError", "credentials", work=replace(locked).check)
