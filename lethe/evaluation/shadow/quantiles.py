"""How a figure is spread over examples. For benchmarks only, like the rest of this package."""

import numpy as np
from numpy.typing import NDArray

from lethe.evaluation.results import Result


class Quantiles(Result):
    """Quantiles over examples, linear between neighbours (NumPy's default)."""

    p05: float
    p25: float
    median: float
    p75: float
    p95: float
    highest: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Quantiles":
        """The quantiles of all values together; at least one is needed."""
        found = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
        return cls(**dict(zip(cls.model_fields, found.tolist(), strict=True)))
