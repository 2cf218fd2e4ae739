"""Names of the tags that Lethe sets, and of the artifacts it logs. docs/lineage.md lists them."""

from lethe.audit.certified import FOLDER

PREFIX = "lethe."

# On every version that Lethe registers.
ORIGIN = "lethe.origin"  # trained, adopted, unlearned or quarantined
WEIGHTS = "lethe.weights_sha256"
SERVED = "lethe.served_sha256"  # of the file that MLflow serves: model.pt2 or model.pth
CARD = "lethe.card_sha256"  # of its training card, if it has one

# On a trained version.
TRAINING_KEY = "lethe.training_key"

# On an unlearned version and its run; a refused run carries them too.
REQUEST = "lethe.request_id"  # of many requests their number and digest; the statement lists them
REQUESTS = "lethe.requests"  # how many
BATCH = "lethe.batch_id"
GATES_KEY = "lethe.gates_sha256"  # of the thresholds
PARENT = "lethe.parent"
VERDICT = "lethe.verdict"
REASON = "lethe.reason"
METHOD = "lethe.method"
METHOD_KEY = "lethe.method_key"  # SHA-256 of name, settings and seed
RUNG = "lethe.rung"  # which step of the ladder: `2 of 3`
BECAUSE = "lethe.because"  # why the method
FORGET_KIND = "lethe.forget_kind"
FORGOTTEN = "lethe.forgotten_classes"  # a JSON list: names may hold commas
FORGET_DIGEST = "lethe.forget_set_digest"
FORGET_ROWS = "lethe.forget_rows"
DVC_MD5 = "lethe.dvc_md5"
GIT_REV = "lethe.git_rev"
DATASET = "lethe.dataset"
STATEMENT = "lethe.statement_sha256"
RECORD = "lethe.record"  # number of the statement in the chain

# On a quarantine: its parent under a patch, until what was asked for is carried out.
QUARANTINE = "lethe.quarantine"  # SHA-256 of what it blocks and how
COVERAGE = "lethe.coverage"  # of the forget rows: how many are blocked, how many proven to be
BLOCKED = "lethe.blocked_classes"  # a JSON list

# On a version that was superseded, promoted or rolled back.
SUPERSEDED_BY = "lethe.superseded_by"
PROMOTED_AT = "lethe.promoted_at"
ROLLED_BACK_AT = "lethe.rolled_back_at"

# Alias of a successor that nobody promoted yet.
CANDIDATE = "candidate"

# Artifacts of an unlearning run.
REPORT_FILE = "report.html"
STATEMENT_FILE = "statement.json"
ENVELOPE_FILE = "statement.dsse.json"
EVALUATION_FILE = "evaluation.json"
LADDER_FILE = "ladder.json"  # what a killed run goes on with
SEARCH_FILE = "search.json"
LINEAGE_FILE = "lineage.svg"
PLOTS_FOLDER = "plots"
COVERAGE_FILE = "coverage.json"
CERTIFICATES_FOLDER = FOLDER

# On the parent run of a comparison of methods (`lethe benchmark`).
COMPARISON = "lethe.comparison_sha256"  # of all that decides its figures
COMMAND = "lethe.command"

# Artifacts of the run of a version whose training card was made later.
CARDS_FOLDER = "training_cards"

# Key under a logged model's metadata that holds what Lethe needs to rebuild it.
METADATA = "lethe"

# Prefix of the metrics that hold wall time: seconds/probe, seconds/edit, …
SECONDS = "seconds/"
