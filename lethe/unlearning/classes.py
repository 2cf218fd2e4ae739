"""The classes of a request, checked against the model before any work is spent."""

import torch
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.method import ForgetTarget


def forget_mask(model: nn.Module, forget: ForgetTarget, device: torch.device) -> Tensor:
    """Which of the model's K outputs to forget: a boolean mask (K,) on the device.

    Raises:
        MethodError: if there are no rows, the outputs are no logits, or the classes are not the
            model's, or are all that it has.
    """
    if not len(forget.rows):
        raise MethodError(
            "The forget set holds no rows. The model was left as it was. Check the selection with "
            "`lethe data show`."
        )
    with torch.no_grad():
        logits = model(next(forget.rows.batches(1)).x.to(device))
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        raise MethodError(
            "The model does not return logits of shape (rows, classes). It was left as it was. "
            "Wrap it in a module that does and register it with `lethe model adopt`."
        )
    known, wanted = logits.shape[1], set(forget.classes)
    if not wanted or not wanted <= set(range(known)):
        raise MethodError(
            f"The classes to forget, {sorted(wanted)}, are not among the model's {known} outputs. "
            f"The model was left as it was. Select by class labels that the model knows."
        )
    if len(wanted) == known:
        raise MethodError(
            f"All {known} classes of the model are to be forgotten, so no class is left to send "
            f"rows to. The model was left as it was. Retire the model instead: `lethe model`."
        )
    mask = torch.zeros(known, dtype=torch.bool, device=device)
    mask[sorted(wanted)] = True
    return mask
