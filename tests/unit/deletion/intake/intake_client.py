"""What the tests of this folder send: a policy, its secrets, signed deliveries."""

import hashlib
import hmac
import json

SECRET = "a-secret-of-thirty-two-characters"  # noqa: S105
OTHER = "another-secret-of-the-same-length"
POLICY = """
version = "test"
[approval]
approvers = ["dpo"]
[models.digits]
approve_always = true
[sources.issues]
kind = "github"
secrets = ["env:TEST_SECRET"]
models = ["digits@*"]
datasets = ["data/*"]
[sources.unset]
kind = "github"
secrets = ["env:TEST_NOT_SET"]
models = ["digits@*"]
datasets = ["data/*"]
[sources.portal]
kind = "plain"
models = ["digits@*"]
datasets = ["data/*"]
[sources.shop]
kind = "plain"
models = ["digits@*"]
datasets = ["data/*"]
[[tokens]]
name = "portal"
secret = "env:TEST_PORTAL"
actor = "portal"
may = ["submit", "read"]
source = "portal"
[[tokens]]
name = "shop"
secret = "env:TEST_SHOP"
actor = "shop"
may = ["submit", "read", "operate"]
source = "shop"
[[tokens]]
name = "dpo"
secret = "env:TEST_DPO"
actor = "dpo"
may = ["read", "approve", "operate"]
[[tokens]]
name = "clerk"
secret = "env:TEST_CLERK"
actor = "clerk"
may = ["read"]
"""
TOKENS = {name: f"token-of-the-{name}-long-enough" for name in ("portal", "shop", "dpo", "clerk")}


def bearer(name):
    return {"Authorization": f"Bearer {TOKENS[name]}"}


def issue(number=1, *, subjects="s-1", **changes):
    """An issue event's payload."""
    filled = {"Model": "digits@champion", "Data set": "data/digits", "Subjects": subjects}
    form = "\n\n".join(f"### {label}\n\n{value}" for label, value in filled.items())
    return {
        "action": "labeled",
        "label": {"name": "data-deletion"},
        "issue": {"number": number, "body": form},
        "repository": {"full_name": "example/privacy"},
    } | changes


def signed(payload, *, delivery="d-1", secret=SECRET, event="issues"):
    """Keyword arguments of a GitHub delivery."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    return {"content": body, "headers": headers}


def ticket(**changes):
    """A plain ticket."""
    wanted = {"model": "digits@champion", "dataset": "data/digits", "subjects": ["s-1"]}
    return wanted | changes


def submit(client, name="portal", *, key="k-1", **changes):
    """File a plain ticket with a token; the answer."""
    headers = bearer(name) | {"Idempotency-Key": key}
    return client.post("/api/v1/requests", json=ticket(**changes), headers=headers)
