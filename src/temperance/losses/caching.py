"""A batch larger than the encoder's memory: gradients of embeddings first, then of weights, by chunks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from temperance.errors import InputError

Encode = Callable[[Tensor], Tensor]


def cached_backward(
    loss: Callable[..., Tensor],
    encoders: Encode | Sequence[Encode],
    inputs: Sequence[Tensor],
    *,
    chunk: int,
) -> Tensor:
    r"""The backward pass of ``loss(encode(x_1), encode(x_2), ...)`` with one chunk's activations in memory.

    A first pass without gradients computes all embeddings; the loss gives their gradients; a second pass
    encodes each chunk again, now with gradients, and hands it its share (Gao et al. 2021, arXiv
    2101.06983). The random numbers of the second pass are those of the first, so that dropout drops the
    same. The gradients are those of the whole batch, which a sum of smaller batches' losses never gives:
    each anchor sees all negatives.

    Batch normalisation in training mode sees chunks, not the batch, and updates its averages twice;
    freeze it, or use one that does not look at the batch. Under DistributedDataParallel gradients are
    exchanged once, at the last chunk.

    Args:
        loss: takes one matrix of embeddings for each input; a temperature or other parameter that it
            holds gets its gradient, too.
        encoders: one for all inputs, or one for each.
        inputs: ``(n_i, ...)`` each.
        chunk: how many rows are encoded at a time with gradients.

    Returns:
        The loss, detached; the gradients are in ``.grad`` of the weights, added to what was there.

    Raises:
        InputError: if the chunk is not positive, encoders and inputs do not match in number, or the loss
            gives no scalar.

    Example:
        >>> import torch
        >>> from temperance import NTXent
        >>> encoder = torch.nn.Linear(6, 4)
        >>> views = [torch.randn(64, 6), torch.randn(64, 6)]
        >>> value = cached_backward(NTXent(0.2), encoder, views, chunk=16)
        >>> encoder.weight.grad.shape
        torch.Size([4, 6])
    """
    each: list[Encode]
    if isinstance(encoders, torch.nn.ModuleList | Sequence):
        each = list(encoders)
    else:
        each = [encoders] * len(inputs)
    if len(each) != len(inputs):
        raise InputError(
            f"{len(each)} encoders and {len(inputs)} inputs; give one encoder, or one for each input"
        )
    if chunk < 1:
        raise InputError(f"chunk {chunk} is not positive; give how many rows fit into memory")
    counts = [-(-len(x) // chunk) for x in inputs]
    pieces = [piece for x in inputs for piece in torch.split(x, chunk)]
    encoders_of = [encode for encode, count in zip(each, counts, strict=True) for _ in range(count)]
    states, found = [], []
    with torch.no_grad():
        for encode, piece in zip(encoders_of, pieces, strict=True):
            states.append(_random_state(piece.device))
            found.append(encode(piece))
    embeddings = [torch.cat(part).requires_grad_() for part in _in_groups(found, counts)]
    value = loss(*embeddings)
    if not isinstance(value, Tensor) or value.ndim:
        raise InputError(
            "the loss gives no scalar; use one without statistics and with a reduction"
        )
    torch.autograd.backward(value)
    slopes = [
        slope
        for z in embeddings
        for slope in torch.split(torch.zeros_like(z) if z.grad is None else z.grad, chunk)
    ]
    for i, (encode, piece) in enumerate(zip(encoders_of, pieces, strict=True)):
        again = any(other is encode for other in encoders_of[i + 1 :])
        with _replayed(states[i], piece.device), _unsynchronised(encode, again):
            out = encode(piece)
            if out.requires_grad:  # a frozen tower has nothing to be told
                torch.autograd.backward(out, slopes[i])
    return value.detach()


def _in_groups(items: list[Tensor], counts: list[int]) -> Iterator[list[Tensor]]:
    start = 0
    for count in counts:
        yield items[start : start + count]
        start += count


def _random_state(device: torch.device) -> list[Tensor]:
    """Of the CPU, where data and masks may be drawn, and of the device."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


@contextmanager
def _replayed(states: list[Tensor], device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(states[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states[1], device)
        yield


@contextmanager
def _unsynchronised(encode: Encode, again: bool) -> Iterator[None]:
    """Let DistributedDataParallel wait for the last chunk of an encoder."""
    with ExitStack() as stack:
        if again and hasattr(encode, "no_sync"):
            stack.enter_context(encode.no_sync())
        yield
