"""One step each; the only place where Prefect meets the work."""
