"""A few of scikit-learn's digits, and a program that measures cells until it is killed.

    python small_digits.py FOLDER

prints the key of each cell that it has measured.
"""

import sys
from pathlib import Path

import torch

from lethe.data.rows import TensorRows
from lethe.models.training import TrainingSettings
from tasks.benchmark import jobs
from tasks.benchmark.cell import Way
from tasks.benchmark.rows import Splits, class_targets

RECIPE = TrainingSettings(network="lethe.models.networks:digits_cnn", epochs=2, batch_size=32)


def splits(*_arguments):
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.from_numpy(found.images).float()[:, None] / 16
    y = torch.from_numpy(found.target).long()
    return Splits(
        "small", TensorRows(x[:400], y[:400]), TensorRows(x[400:700], y[400:700]),
        tuple("0123456789"), "d" * 32,
    )  # fmt: skip


def cells(folder, methods=("gradient_ascent",), seeds=2):
    source = jobs.Source(".", "small", "d" * 32, RECIPE.model_dump_json(), Path(folder))
    return [
        jobs.CellJob(source, seed, target, Way(method), feature_level=False)
        for seed in range(seeds)
        for target in class_targets(splits(), ("1", "8"))
        for method in methods
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    jobs.read_splits = splits
    for job in cells(sys.argv[1]):
        jobs.cell_once(job)
        sys.stdout.write(f"{job.key}\n")
        sys.stdout.flush()
