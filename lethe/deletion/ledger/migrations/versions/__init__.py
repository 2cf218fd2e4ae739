"""One file per version of the ledger's tables, the oldest first. They are written by hand."""
