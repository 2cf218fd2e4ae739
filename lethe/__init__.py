"""Lethe makes registered models forget on request and records what it did.

This is the library; it knows neither Prefect nor MLflow:

1. `lethe.data`: data sets, forget sets, access through DVC.
2. `lethe.models`: networks, training, the weights and their digest.
3. `lethe.unlearning`: methods. Each has two phases, `probe` and `edit`.
4. `lethe.evaluation`: did it forget, and what did it cost.
5. `lethe.deletion`: requests to forget.
6. `lethe.audit`: the statement of what was done.
"""
