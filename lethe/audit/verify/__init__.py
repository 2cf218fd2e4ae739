"""Checks a bundle of records anywhere: no server, no database, nothing of Lethe but this.

    python -m lethe.audit.verify trail.zip --key-id 5f2c...

    report = verify_bundle("trail.zip", keys=ring)
    report.exit_code                     # 0: all that was checked is in order; 9: something is not
    report.checked                       # what was found, as `lethe.audit.checks.Check`

It is held that every record was signed by a key that was allowed to, that none was changed, left
out, put in or moved, that each statement agrees with itself and with others of its run, and that a
receipt's rows are in the set that a statement covers. What cannot be seen from the bundle is told
too: whose keys they are, without `--keys` or `--key-id`; whether there are newer records, without
`--checkpoint`; and what MLflow and DVC hold today.

Needs the standard library, `cryptography` and `rfc8785` alone; docs/verification.md has the rest.
"""

from lethe.audit.verify.archive import BundleError
from lethe.audit.verify.check import verify_bundle
from lethe.audit.verify.report import Report

__all__ = ["BundleError", "Report", "verify_bundle"]
