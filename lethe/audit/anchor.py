"""Write-once copies of records and checkpoints in S3: what a key holder cannot rewrite.

    anchor = S3Anchor(bucket, "lethe", mode="COMPLIANCE")
    anchor.check()                                  # before any work
    anchor.put("records/000000004.json", line)      # True; again, with the same bytes: False

Two means of S3, and what each gives:

- `If-None-Match: *`: a name is written once. A second writer, or a run that was killed and comes
  again, changes nothing. Somebody with the right to delete can still delete.
- Object Lock (a bucket made with it, or where it was switched on later): the version that was
  written stays until its date. COMPLIANCE binds everybody, the account's owner too; GOVERNANCE lets
  those pass who have `s3:BypassGovernanceRetention`. What was written without a lock stays so.

Over a locked version S3 still takes a newer one, or a delete marker. So with a lock, `get` looks at
all versions of a name and reports any that came later, and `names` lists what was marked as deleted
as well.

Some servers take `If-None-Match` and ignore it. `check` finds out: it writes the small object
`.write-once` below the prefix, unlocked; where it is there already, or by a second try, the
endpoint must refuse.

Rights needed: `s3:ListBucket`, `s3:GetObject`, `s3:PutObject`; with a lock also
`s3:GetBucketObjectLockConfiguration`, `s3:PutObjectRetention`, `s3:ListBucketVersions` and
`s3:GetObjectVersion`. Credentials come from where boto3 looks for them.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal

from dateutil.relativedelta import relativedelta

from lethe.audit.errors import AuditError

PAGE: Final = 1000  # names per answer: S3's own most
TRIES: Final = 3  # while another writer of the same name is at work
PROBE: Final = ".write-once"
ENTRIES: Final = ("Contents", "Versions", "DeleteMarkers")
EXISTS: Final = {"PreconditionFailed", "412"}
GONE: Final = {"NoSuchKey", "404"}
UNKNOWN: Final = {"NotImplemented", "MethodNotAllowed", "501", "405"}
LOCKLESS: Final = {*UNKNOWN, "ObjectLockConfigurationNotFoundError", "InvalidRequest", "404", "400"}


class AnchorError(AuditError):
    """The write-once copies cannot be reached, are not write-once, or hold something else.

    `code` is what S3 called it, where S3 answered.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class S3Anchor:
    """A place for write-once copies.

    `prefix` is the folder in the bucket; `mode` the Object Lock mode, None for `If-None-Match`
    alone; `retain_months` how long the lock holds; `endpoint_url` an S3 server other than AWS.
    """

    bucket: str
    prefix: str = ""
    mode: Literal["COMPLIANCE", "GOVERNANCE"] | None = "COMPLIANCE"
    retain_months: int = 24
    endpoint_url: str | None = None
    region: str | None = None

    def check(self) -> None:
        """See that copies can be written, once each, before any work is spent.

        Raises:
            AnchorError: if not; says which setting to change.
        """
        self._call(lambda s3: s3.head_bucket(Bucket=self.bucket))
        if self.mode is not None:
            self._check_lock()
        probe = b"An endpoint that takes this object twice is not write-once.\n"
        try:
            conditional = not (self._create(PROBE, probe, {}) and self._create(PROBE, probe, {}))
        except AnchorError as error:
            if error.code not in UNKNOWN:
                raise
            conditional = False
        if not conditional:
            raise AnchorError(
                f"The endpoint of {self._where} does not heed If-None-Match, so that a copy there "
                "could be written over. No record was copied. Set `audit.s3.endpoint_url` to a "
                "server that knows conditional writes."
            )

    def put(self, name: str, body: bytes) -> bool:
        """Write a copy, once.

        Args:
            name: object name below the prefix.
            body: JSON.

        Returns:
            True if it was written, False if the same bytes are there already.

        Raises:
            AnchorError: if other bytes are there (nothing is written), or S3 does not let us.
        """
        if self._create(name, body, self._retention()):
            return True
        if self.get(name) == body:
            return False
        raise AnchorError(
            f"{self._where}{name} is there already and holds other bytes: a record was changed, or "
            "two chains share this place. Nothing was written. Compare it with `lethe audit "
            "verify`; give a second chain an `audit.s3.prefix` of its own."
        )

    def get(self, name: str) -> bytes | None:
        """The copy of that name; None if there is none.

        Raises:
            AnchorError: if S3 does not let us, or, with a lock, something was put over it.
        """
        version = {}
        if self.mode is not None:
            found = self._versions(name)
            if not found:
                return None
            version = {"VersionId": found}
        try:
            body: bytes = self._call(
                lambda s3: s3.get_object(
                    Bucket=self.bucket, Key=self._prefix + name, **version
                )["Body"].read()
            )  # fmt: skip
        except AnchorError as error:
            if error.code in GONE:
                return None
            raise
        return body

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names of the copies that begin so, sorted, a page at a time.

        With a lock, those that were marked as deleted too.

        Raises:
            AnchorError: if S3 does not let us, or does not list in order.
        """
        listing = "list_objects_v2" if self.mode is None else "list_object_versions"
        last = ""
        for page in self._pages(listing, self._prefix + prefix):
            entries = (one for kind in ENTRIES for one in page.get(kind, ()))
            for key in sorted({one["Key"] for one in entries}):
                name = key[len(self._prefix) :]
                if name < last:
                    raise AnchorError(
                        f"{self._where} is not listed in the order of names, which a general "
                        "purpose bucket promises. Nothing was changed. Use such a bucket: "
                        "`audit.s3.bucket`."
                    )
                if name not in {last, PROBE}:
                    yield name
                last = name

    @property
    def _prefix(self) -> str:
        folder = self.prefix.strip("/")
        return f"{folder}/" if folder else ""

    @property
    def _where(self) -> str:
        return f"s3://{self.bucket}/{self._prefix}"

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config  # type: ignore[import-untyped]

        # Servers other than AWS often lack the checksums that newer boto3 adds by itself.
        config = Config(
            connect_timeout=10,
            retries={"mode": "standard", "max_attempts": 3},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # A session of its own: the shared one is not to be used from two threads.
        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint_url, region_name=self.region, config=config
        )

    def _call(self, work: Callable[[Any], Any]) -> Any:
        """Carry out work with the client; every error of it becomes an `AnchorError`."""
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
        )

        code = None
        try:
            return work(self._client)
        except ClientError as error:
            code = _code(error.response)
            words = f"S3 answered {code}"
        except (BotoCoreError, ValueError) as error:  # a malformed address is a ValueError
            words = type(error).__name__
        # What botocore says holds addresses with their queries: only its name is passed on.
        raise AnchorError(
            f"{self._where} cannot be used: {words}. No copy that is there was changed. Check "
            "`audit.s3.bucket`, `audit.s3.endpoint_url`, the credentials and their rights, then "
            "run the same command again.",
            code,
        )

    def _create(self, name: str, body: bytes, lock: dict[str, Any]) -> bool:
        """Write an object unless one of that name is there; False if it is."""
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
        for left in reversed(range(TRIES)):
            try:
                self._call(
                    lambda s3: s3.put_object(
                        Bucket=self.bucket,
                        Key=self._prefix + name,
                        Body=body,
                        IfNoneMatch="*",
                        ContentType="application/json",
                        ChecksumAlgorithm="SHA256",
                        ChecksumSHA256=checksum,
                        **lock,
                    )
                )
            except AnchorError as error:
                if error.code in EXISTS:
                    return False
                if error.code != "ConditionalRequestConflict" or not left:
                    raise
            else:
                return True
        return False

    def _check_lock(self) -> None:
        try:
            answer = self._call(lambda s3: s3.get_object_lock_configuration(Bucket=self.bucket))
        except AnchorError as error:
            if error.code not in LOCKLESS:
                raise
            answer = {}
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled":
            return
        raise AnchorError(
            f"The bucket {self.bucket} or its endpoint lacks Object Lock, so that a copy there "
            "could be deleted. No copy was written. Switch Object Lock on for the bucket; or set "
            '`audit.s3.lock = "none"`, which keeps If-None-Match alone.'
        )

    def _versions(self, name: str) -> str | None:
        """The only version of an object."""
        key = self._prefix + name
        kept, markers = [], 0
        for page in self._pages("list_object_versions", key):
            kept += [one["VersionId"] for one in page.get("Versions", ()) if one["Key"] == key]
            markers += sum(one["Key"] == key for one in page.get("DeleteMarkers", ()))
        if len(kept) + markers > 1:
            raise AnchorError(
                f"{self._where}{name} was written over or marked as deleted; what was written "
                "first is kept as an older version. Nothing was changed. Find out who did it, then "
                "remove what came later."
            )
        return kept[0] if kept else None

    def _pages(self, listing: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._call(
            lambda s3: iter(
                s3.get_paginator(listing).paginate(
                    Bucket=self.bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}
                )
            )
        )
        while (page := self._call(lambda _: next(pages, None))) is not None:
            yield page

    def _retention(self) -> dict[str, Any]:
        if self.mode is None:
            return {}
        until = datetime.now(UTC) + relativedelta(months=self.retain_months)
        return {"ObjectLockMode": self.mode, "ObjectLockRetainUntilDate": until}


def _code(response: Any) -> str:
    """What S3 calls an error; its HTTP status where that is no plain word."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "an error")
    return code if re.fullmatch(r"[A-Za-z0-9]{1,60}", code) else str(status)
