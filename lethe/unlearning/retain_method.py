"""A method that learns from retained rows: what such references share is here once.

    class FineTune(RetainMethod):
        name: ClassVar[str] = "fine_tune"

        def course(self, given: Given) -> Course: return Course(...)

One says by a `Course` what an epoch sees and what a step minimises; one that has something to find
has a `probe` of its own.
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from torch import nn

from lethe.data.rows import Rows
from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.retain_edit import Course, RetainEdit, edit_with_retained, retained_rows
from lethe.unlearning.survey import check_instructions, survey


class Given(NamedTuple):
    """What an edit begins with: the original, which stays as it is, and what is known."""

    model: nn.Module
    forget: ForgetTarget
    retained: Rows
    instructions: Instructions
    context: Context


class RetainMethod(RetainEdit):
    """Both phases; `tensors` names what the edit needs of the probe's instructions."""

    name: ClassVar[str]
    needs: ClassVar[Need] = "retain"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    tensors: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def course(self, given: Given) -> Course:
        """What an epoch sees and a step minimises."""

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Count what is recognised; there is nothing to find.

        Raises:
            MethodError: if there are no retained rows, or the model cannot forget the others.
        """
        retained_rows(forget, self.name)
        return survey(model, forget, context, self.batch_size).instructions({})

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Change a copy by the course.

        Raises:
            MethodError: if there are no retained rows, the instructions belong to other rows or
                another model, or the edit diverges.
        """
        retained = retained_rows(forget, self.name)
        check_instructions(instructions, forget, self.name, self.tensors)
        course = self.course(Given(model, forget, retained, instructions, context))
        return edit_with_retained(model, forget, context, self, course)
