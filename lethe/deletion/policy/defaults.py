"""What a source does that its table in the policy does not say, by kind."""

from typing import Any, Final

LABEL = "data-deletion"

_PLAIN_FIELDS = {
    "model": "model",
    "dataset": "dataset",
    "classes": "classes",
    "subjects": "subjects",
    "samples": "samples",
    "evaluation": "evaluation",
    "ground": "ground",
    "regulation": "regulation",
}

FIELDS: Final[dict[str, dict[str, Any]]] = {
    # Headings of the issue form: Model, Data set, Classes, Subjects, Samples.
    "github": {
        "model": "form.model",
        "dataset": "form.data_set",
        "classes": "split(form.classes)",
        "subjects": "split(form.subjects)",
        "samples": "split(form.samples)",
    },
    # Its numbers of custom fields differ from site to site: there is no default.
    "jira": {},
    "opendsr": {
        "model": "extensions.lethe.model",
        "dataset": "extensions.lethe.dataset",
        "subjects": "subject_identities[?identity_type == 'controller_customer_id' "
        "&& identity_format == 'raw'].identity_value",
        "regulation": "regulation",
    },
    "standard-webhooks": {name: f"data.{path}" for name, path in _PLAIN_FIELDS.items()}
    | {"ticket": "data.ticket"},
    "plain": _PLAIN_FIELDS,
    "cli": _PLAIN_FIELDS,
}

FILE_WHEN: Final[dict[str, str]] = {
    "github": f"action == 'labeled' && label.name == '{LABEL}'",
    "jira": "(webhookEvent == 'jira:issue_created' || webhookEvent == 'jira:issue_updated') "
    f"&& contains(issue.fields.labels || `[]`, '{LABEL}')",
    "opendsr": "subject_request_type == 'erasure'",
    "standard-webhooks": "type == 'deletion.requested'",
    "plain": "`true`",
    "cli": "`true`",
}

CANCEL_WHEN: Final[dict[str, str]] = {
    "github": "action == 'deleted' || (action == 'closed' && issue.state_reason == 'not_planned') "
    f"|| (action == 'unlabeled' && label.name == '{LABEL}')",
    "jira": "webhookEvent == 'jira:issue_deleted'",
    "opendsr": "`false`",
    "standard-webhooks": "type == 'deletion.cancelled'",
    "plain": "`false`",
    "cli": "`false`",
}

API: Final[dict[str, str]] = {"github": "https://api.github.com"}

# What a ticket may give as its ground: it stands in signed records, so free text does not.
GROUNDS: Final = (
    "unspecified",
    "GDPR Art. 17",
    "GDPR Art. 17(1)",
    *(f"GDPR Art. 17(1)({letter})" for letter in "abcdef"),
    "GDPR Art. 21",
    "CCPA 1798.105",
    "Cal. Civ. Code 1798.105",
    "consent withdrawn",
    "contract ended",
    "licence ended",
    "wrong data",
)
