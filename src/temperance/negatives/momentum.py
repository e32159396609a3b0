"""An encoder that follows another slowly, so that the keys of many batches are of one kind."""

import torch
from torch import nn

from temperance.errors import InputError


@torch.no_grad()
def momentum_update(online: nn.Module, target: nn.Module, m: float) -> None:
    r"""Let ``target`` follow ``online`` by a step of MoCo (He et al. 2020, arXiv 1911.05722).

    .. math:: \theta_k \leftarrow m\,\theta_k + (1 - m)\,\theta_q

    for the parameters; buffers, such as the statistics of batch normalisation, are copied.

    Args:
        online: θ_q, which the optimiser trains.
        target: θ_k, changed in place; of the same architecture.
        m: in [0, 1]; 0.999 in MoCo.

    Raises:
        InputError: if m is out of its range, or the two are not alike.

    Example:
        >>> online, target = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(online.weight), nn.init.zeros_(target.weight)
        >>> momentum_update(online, target, m=0.75)
        >>> target.weight.item()
        0.25
    """
    if not 0 <= m <= 1:
        raise InputError(f"momentum {m:g} is not in [0, 1]; give one such as 0.999")
    theirs, ours = (
        [(name, x.shape) for name, x in (*module.named_parameters(), *module.named_buffers())]
        for module in (online, target)
    )
    if theirs != ours:
        here = next((a or b for a, b in zip(theirs, ours, strict=False) if a != b), (None,))[0]
        raise InputError(
            f"the momentum encoder is not built like the other (first at {here}); make it a copy.deepcopy"
        )
    slow: list[torch.Tensor] = list(target.parameters())
    fast: list[torch.Tensor] = list(online.parameters())
    if slow:
        torch._foreach_lerp_(slow, fast, 1 - m)
    for old, new in zip(target.buffers(), online.buffers(), strict=True):
        old.copy_(new)
