"""Unlearning methods: `probe` finds what to change, `edit` changes it. PyTorch only."""
