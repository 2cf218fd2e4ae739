"""The CloudFormation template is made on moto, and each role is tried on each bucket.

moto 5.2 makes buckets, policies and roles of a template, and enforces what roles may. It leaves out
what a bucket is set to (versions, locks, lifecycle): that is read from the template here and set by
the S3 API, which checks its form. It makes no bucket policies: their text is compared.
"""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from lethe.audit.anchor import AnchorError, S3Anchor

pytest.importorskip("cfnlint", reason="cfn-lint is not installed: make install")
mock_aws = pytest.importorskip("moto").mock_aws

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS..S3..BucketPolicy")

TEMPLATE = Path(__file__).parents[2] / "infra" / "aws" / "storage.yaml"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
PERSON = f"arn:aws:iam::{ACCOUNT}:role/person"
DATA, REGISTRY, AUDIT, LOG = (
    f"lethe-{name}-{ACCOUNT}" for name in ("data", "registry", "audit", "log")
)
ROLES = ("reader", "eraser", "auditor", "worker", "mlflow")
ROW = "files/md5/0f/d9a1"
RECORD = "lethe/records/000000002.json"


def template():
    from cfnlint.decode.cfn_yaml import load

    return load(str(TEMPLATE))


RESOURCES = template()["Resources"]
BUCKETS = {name: one for name, one in RESOURCES.items() if one["Type"] == "AWS::S3::Bucket"}


def test_cfn_lint_has_no_complaint():
    from cfnlint.api import ManualArgs, lint_file

    found = lint_file(TEMPLATE, config=ManualArgs(regions=[REGION, "us-east-1"]))
    assert [str(match) for match in found] == []


def test_cfn_lint_would_complain(tmp_path):
    from cfnlint.api import ManualArgs, lint_file

    wrong = tmp_path / "wrong.yaml"
    text = TEMPLATE.read_text(encoding="utf-8")
    wrong.write_text(text.replace("Mode: COMPLIANCE", "Mode: COMPLIENCE"), encoding="utf-8")
    assert lint_file(wrong, config=ManualArgs(regions=[REGION]))


@pytest.fixture(scope="module")
def aws():
    """The stack on moto, with an object in each bucket; S3 as the account's owner."""
    from moto.s3.responses import ACTION_MAP

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        # AWS asks for s3:ListBucket here; moto for a right that AWS does not have.
        patch.setitem(ACTION_MAP["BUCKET"]["HEAD"], "DEFAULT", "ListBucket")
        patch.setenv("AWS_ACCESS_KEY_ID", "owner")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "owner")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        stacks = boto3.client("cloudformation", REGION)
        stacks.create_stack(
            StackName="lethe",
            TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": name, "ParameterValue": PERSON}
                for name in ("Operators", "Auditors")
            ],
        )
        (stack,) = stacks.describe_stacks(StackName="lethe")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        s3 = boto3.client("s3", REGION)
        for one in BUCKETS.values():
            _set_what_moto_left_out(s3, one["Properties"])
        for bucket in (DATA, REGISTRY, AUDIT):
            s3.put_object(Bucket=bucket, Key=ROW, Body=b"row")
        yield s3


def _set_what_moto_left_out(s3, properties):
    bucket = _text(properties["BucketName"])
    s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"]
    )
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [_rule(r) for r in _rules(properties)]},
    )
    if properties.get("ObjectLockEnabled"):
        _lock(bucket)
        s3.put_object_lock_configuration(
            Bucket=bucket,
            ObjectLockConfiguration=_values(properties["ObjectLockConfiguration"]),
        )


def _lock(bucket):
    """Object Lock is a property of a bucket from its making, where moto does not look for it."""
    from moto.s3.models import s3_backends

    s3_backends[ACCOUNT]["aws"].buckets[bucket].object_lock_enabled = True


def _rules(properties):
    return properties["LifecycleConfiguration"]["Rules"]


def _rule(rule):
    """A rule of a template in the words of the S3 API."""
    rule = {k: _values(v) for k, v in rule.items()}
    rule["ID"], rule["Filter"] = rule.pop("Id"), {"Prefix": ""}
    if "ExpirationInDays" in rule:
        rule["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
    if rule.pop("ExpiredObjectDeleteMarker", False):
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    return rule


def _text(value):
    """A `!Sub` with the template's defaults."""
    text = value["Fn::Sub"] if isinstance(value, dict) else value
    return text.replace("${Name}", "lethe").replace("${AWS::AccountId}", ACCOUNT)


def _values(value):
    """Numbers that are parameters, by their defaults."""
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return int(template()["Parameters"][value["Ref"]]["Default"])
    if isinstance(value, dict):
        return {k: _values(v) for k, v in value.items()}
    return value


@contextmanager
def acting_as(role, patch):
    """Credentials of a role in the environment, where its policies are enforced."""
    from moto.core import enable_iam_authentication

    sts = boto3.client("sts", REGION)
    arn = f"arn:aws:iam::{ACCOUNT}:role/lethe-{role}"
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    with patch.context() as inside, enable_iam_authentication():
        inside.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        inside.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        inside.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
        yield boto3.session.Session().client("s3", region_name=REGION)


def version_of(s3, bucket, key):
    return s3.head_object(Bucket=bucket, Key=key)["VersionId"]


def attempts(bucket, version):
    """What somebody may try on a bucket."""
    return {
        "list": lambda s3: s3.list_objects_v2(Bucket=bucket),
        "list versions": lambda s3: s3.list_object_versions(Bucket=bucket),
        "read": lambda s3: s3.get_object(Bucket=bucket, Key=ROW)["Body"].read(),
        "put": lambda s3: s3.put_object(Bucket=bucket, Key=f"new/{version}", Body=b"new"),
        "delete": lambda s3: s3.delete_object(Bucket=bucket, Key="not/there"),
        "delete version": lambda s3: s3.delete_object(
            Bucket=bucket, Key="not/there", VersionId=version
        ),
        "replace policy": lambda s3: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
        "stop versions": lambda s3: s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        "remove bucket": lambda s3: s3.delete_bucket(Bucket=bucket),
    }


# Everything that is not named here must be refused.
ALLOWED = {
    ("reader", DATA): {"list", "read"},
    ("eraser", DATA): {"list", "list versions", "delete", "delete version"},
    ("eraser", AUDIT): {"put"},
    ("auditor", AUDIT): {"list", "list versions", "read"},
    ("worker", DATA): {"list", "read"},
    ("worker", AUDIT): {"list", "list versions", "read", "put"},
    ("mlflow", REGISTRY): {"list", "read", "put", "delete"},
}


@pytest.mark.parametrize("bucket", [DATA, REGISTRY, AUDIT, LOG])
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_is_for_and_nothing_else(aws, monkeypatch, role, bucket):
    version = version_of(aws, bucket, ROW) if bucket != LOG else "1"
    done, answers = set(), set()
    with acting_as(role, monkeypatch) as s3:
        for what, attempt in attempts(bucket, version).items():
            try:
                attempt(s3)
            except ClientError as error:
                answers.add(error.response["Error"]["Code"])
            else:
                done.add(what)
    assert answers <= {"AccessDenied", "403"}
    assert done == ALLOWED.get((role, bucket), set())


def test_without_enforcement_everything_would_be_allowed(aws):
    """The control: it is the policies that refuse, not moto's lack of these calls."""
    version = version_of(aws, REGISTRY, ROW)
    tried = attempts(REGISTRY, version)
    for what in ("list", "list versions", "read", "put", "delete", "delete version"):
        tried[what](aws)


def test_the_worker_has_the_rights_that_writing_records_takes(aws, monkeypatch):
    with acting_as("worker", monkeypatch):
        anchor = S3Anchor(AUDIT, "lethe", mode="COMPLIANCE", region=REGION)
        anchor.check()
        assert anchor.put("records/000000001.json", b'{"a":1}')
        assert not anchor.put("records/000000001.json", b'{"a":1}')
        assert anchor.get("records/000000001.json") == b'{"a":1}'
        assert list(anchor.names("records/")) == ["records/000000001.json"]
        with pytest.raises(AnchorError, match="holds other bytes"):
            anchor.put("records/000000001.json", b'{"a":2}')


@pytest.mark.parametrize("role", ["reader", "eraser", "auditor", "mlflow"])
def test_nobody_else_can_write_records_and_check_them(aws, monkeypatch, role):
    with acting_as(role, monkeypatch), pytest.raises(AnchorError, match="cannot be used"):
        S3Anchor(AUDIT, "lethe", mode="COMPLIANCE", region=REGION).check()


def test_not_even_the_owner_removes_a_record_before_its_time(aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "owner")
    anchor = S3Anchor(AUDIT, "lethe", mode="COMPLIANCE", region=REGION)
    anchor.put("records/000000002.json", b"{}")
    version = version_of(aws, AUDIT, RECORD)
    kept = aws.get_object_lock_configuration(Bucket=AUDIT)["ObjectLockConfiguration"]
    default = kept["Rule"]["DefaultRetention"]
    assert (default["Mode"], default["Years"]) == ("COMPLIANCE", 2)
    kept = aws.head_object(Bucket=AUDIT, Key=RECORD)
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert kept["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=700)
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.delete_object(
            Bucket=AUDIT, Key=RECORD, VersionId=version, BypassGovernanceRetention=True
        )


def test_an_eraser_removes_all_versions_of_a_row_that_it_cannot_read(aws, monkeypatch):
    key = "files/md5/aa/1"
    for body in (b"old", b"new"):
        aws.put_object(Bucket=DATA, Key=key, Body=body)
    with acting_as("eraser", monkeypatch) as s3:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket=DATA, Key=key)
        for one in s3.list_object_versions(Bucket=DATA, Prefix=key)["Versions"]:
            s3.delete_object(Bucket=DATA, Key=key, VersionId=one["VersionId"])
    left = aws.list_object_versions(Bucket=DATA, Prefix=key)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def test_the_lifecycle_ends_what_was_deleted_and_nothing_of_the_audit(aws):
    def rules(bucket):
        return aws.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]

    (gone,) = [r for r in rules(DATA) if r["ID"] == "deleted-is-gone"]
    assert gone["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert gone["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert [set(r) & {"Expiration", "NoncurrentVersionExpiration"} for r in rules(AUDIT)] == [set()]


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_is_private_encrypted_versioned_and_kept_when_the_stack_goes(name):
    bucket = BUCKETS[name]
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "BucketEncryption" in properties
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert name == "LogBucket" or "LoggingConfiguration" in properties


def statements_on(bucket):
    (policy,) = [
        one["Properties"]["PolicyDocument"]["Statement"]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::S3::BucketPolicy" and one["Properties"]["Bucket"]["Ref"] == bucket
    ]
    return {one["Sid"]: one for one in policy}


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_refuses_connections_in_clear(name):
    refusal = statements_on(name)["EncryptedConnectionsOnly"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "s3:*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(refusal["Resource"]) == 2


def test_the_audit_bucket_refuses_second_writes_and_removals_by_anybody():
    said = statements_on("AuditBucket")
    once, never = said["EachNameOnce"], said["NobodyRemovesRecords"]
    assert all((s["Effect"], s["Principal"]) == ("Deny", "*") for s in (once, never))
    assert once["Action"] == "s3:PutObject"
    assert once["Condition"]["Null"] == {"s3:if-none-match": "true"}
    assert {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"} <= set(
        never["Action"]
    )
    assert "Condition" not in never


def test_people_need_a_second_factor_and_pods_their_own_service_account():
    for name in ROLES:
        (trust,) = RESOURCES[f"{name.capitalize()}Role"]["Properties"]["AssumeRolePolicyDocument"][
            "Statement"
        ]
        if name in {"worker", "mlflow"}:
            assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
            tag = "aws:RequestTag/kubernetes-service-account"
            assert trust["Condition"]["StringEquals"][tag] == name
        else:
            assert trust["Condition"] == {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


def test_no_policy_names_everything():
    for one in RESOURCES.values():
        if one["Type"] != "AWS::IAM::ManagedPolicy":
            continue
        for statement in one["Properties"]["PolicyDocument"]["Statement"]:
            named = json.dumps([statement["Action"], statement["Resource"]])
            assert '"*"' not in named
            assert "s3:*" not in named
