"""Probing then Editing (PTE, arXiv 2511.09414v1): forget classes from forget rows alone.

    method = PTE()
    instructions = method.probe(model, forget, context)
    edit = method.edit(model, forget, instructions, context)

The probe climbs from every forget row across the nearest decision boundary and lets the original
model say what it sees there: the editing instruction. The edit pushes the forget classes away and
pulls everything else into place by masked distillation. The paper's hyper-parameters are not
public; this is a reconstruction, described with the source of every default in docs/methods/pte.md.
"""

import copy
import time
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning import probes
from lethe.unlearning.losses import forget_mass, retained_only
from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.push_pull import Recipe, push_pull

HISTOGRAM_BINS = 20


class PTE(Recipe):
    """Settings of the probe; those of the edit are inherited fields of `Recipe`."""

    name: ClassVar[str] = "pte"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
