"""What a request forbids the model to say, checked against it before any work is spent."""

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
    known, wanted = _outputs(model, forget, device), set(forget.classes)
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


def barred_outputs(model: nn.Module, forget: ForgetTarget, device: torch.device) -> Tensor:
    """Outputs that no row may be given: the mask of a class request, or none at all, (K,).

    Raises:
        MethodError: as `forget_mask` for a class request; for one by rows if there are none, the
            outputs are no logits, or there is only one.
    """
    if forget.kind == "class":
        return forget_mask(model, forget, device)
    known = _outputs(model, forget, device)
    if known < 2:
        raise MethodError(
            "The model has a single output, so a row can be given no other class. It was left as "
            "it was. Wrap it in a module with one logit for each class: `lethe model adopt`."
        )
    return torch.zeros(known, dtype=torch.bool, device=device)


def barred(outputs: Tensor, labels: Tensor) -> Tensor:
    """What each row may not be recognised as, (B, K): the barred outputs (K,) and its own label.

    A label (B,) of -1, which the model does not know, adds nothing.
    """
    own = labels[:, None] == torch.arange(len(outputs), device=labels.device)
    return own | outputs


def _outputs(model: nn.Module, forget: ForgetTarget, device: torch.device) -> int:
    """The number of the model's outputs, seen on one row."""
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
    return logits.shape[1]
