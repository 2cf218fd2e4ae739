"""MLflow: pull a version, register its successor, move aliases, keep the lineage readable."""
