"""Figures that need shadow models or a retrained model: for benchmarks only, never for a request.

A request's network has no retrained twin and no hundred shadow models, and its retained data may be
gone. So nothing that carries out a request imports this package; an import contract in
`pyproject.toml` holds that. docs/evaluation_benchmark.md says what each figure means and needs.
"""
