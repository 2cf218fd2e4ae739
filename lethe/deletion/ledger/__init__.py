"""The ledger: every deletion request, every move of it, and every answer that is owed."""
