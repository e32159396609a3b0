"""Contrastive losses as functions of embeddings and a temperature.

All of them hold no matrix of all similarities, take a temperature that is a number, a tensor that
receives its gradient, or (where anchors stand alone) one for each anchor, and raise ``InputError`` on
shapes that do not fit, a τ that is not positive and finite, and vectors that cannot be compared: nan,
infinity, or, under cosine similarity, zero.

Options they share:

- ``similarity``: ``"cosine"``, ``"dot"``, ``"euclidean"`` (minus the squared distance), or, for InfoNCE,
  NT-Xent, CLIP and DCL, any callable from ``(h, d)`` and ``(w, d)`` to ``(h, w)``, which is asked tile
  by tile.
- ``reduction``: ``"mean"`` or ``"sum"`` over anchors, or ``"none"``. ``weights``: one for each anchor;
  the mean is then the weighted one, Σ w L / Σ w.
- ``statistics``: return ``(loss, LossStatistics)``, from the same pass; not for SupCon, simple and sigmoid.
- ``backend``: ``"auto"``, ``"tiled"``, ``"triton"`` (kernels for CUDA), or ``"dense"``, which holds the
  matrix and has second derivatives; or ``"ring"`` or ``"gather"``: the batch is that of all ranks of
  ``torch.distributed``. Under ``"ring"`` vectors and their gradients travel round and no rank holds them all
  (only the hard losses bring them together, to find what is hard); under ``"gather"`` every rank holds all
  vectors, and waits for the others less often. With ``reduction="mean"`` the average of the ranks' losses
  is then the loss of the whole batch, and so are the gradients that DistributedDataParallel averages. A
  queue is each rank's own.

In float32 values and gradients are within 4·2⁻²⁴/τ + 2e-6 of those of float64, relative to their norm, from
τ = 1e-4 to 1e4. The slope in τ is a sum over anchors, of w σ (s⁺ - E s)/τ²: w their weights, σ the
pull that is left, E s the mean of their negatives' similarities. Where those are next to nothing, as when
negatives tie with the positive, or where they cancel between anchors, the bound is relative to the sum of the
terms w σ E|s⁺ - s|/τ² without their signs, and the rounding of the unit vectors adds up to 2⁻²⁴ Σ w σ/τ².
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast import (
    COUNT,
    LINEAR,
    OVER_RANKS,
    SOFTPLUS,
    Backend,
    Elementwise,
    Layout,
    gathered,
    pair_sums,
    parts_of_ranks,
    rank,
    ranks,
    ring_sums,
)
from temperance.errors import InputError
from temperance.losses.compare import Loss, Options, compare, uncompiled
from temperance.losses.inputs import (
    Logits,
    Reduction,
    Similarity,
    Temperature,
    anchor_weights,
    arithmetic,
    check_backend,
    check_pair,
    check_vectors,
    check_width,
    checked_temperature,
    logits,
    named,
    positions,
    promoted,
    symmetric_logits,
    tempered,
)
from temperance.temperatures import Batch, PerAnchor, Policy


@uncompiled
def info_nce(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    *,
    temperature: Temperature = 0.07,
    in_batch: bool | None = None,
    labels: Int[Tensor, " n"] | None = None,
    classes: Int[Tensor, " n"] | None = None,
    ids: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " n"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""InfoNCE: tell the positive key of each query from all other keys.

    .. math:: L_i = -\log \frac{e^{s(q_i, k_i)/\tau}}{e^{s(q_i, k_i)/\tau} + \sum_{j} e^{s(q_i, c_j)/\tau}}

    Without ``negatives`` the candidates :math:`c_j` are the other keys of the batch (van den Oord et al.
    2018, arXiv 1807.03748). With ``negatives`` (a queue) they are those alone, the form of MoCo
    (He et al. 2020, arXiv 1911.05722); ``in_batch=True`` adds the batch to them. With ``labels`` each
    query has several positives P(i), the keys of its class, and the loss is that of SupCon with the sum
    outside, :math:`L_i = -\frac{1}{|P|} \sum_{p \in P} \log(e^{s_p/\tau} / \sum_{a} e^{s_a/\tau})`.

    Args:
        queries: ``(n, d)``.
        keys: ``(n, d)``; row i is the positive of query i.
        negatives: ``(k, d)`` further keys, shared by all queries. Where they need no gradient they are read
            where they lie, and never copied.
        temperature: τ > 0; a scalar, or ``(n,)``.
        in_batch: whether the other keys of the batch are negatives; unless told, only where there are no
            ``negatives``.
        labels: ``(n,)`` classes of the pairs, whose keys are then all positives.
        classes: ``(n,)`` classes of the pairs that the loss knows nothing of; the statistics say what
            share of the push falls on negatives of the query's own class.
        ids: ``(n,)`` which instances of the data set the pairs are, for ``temperatures.PerAnchor``.
        weights: ``(n,)``, each ≥ 0.
        similarity: see above.
        reduction: see above.
        statistics: see above.
        backend: see above.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> q, k = torch.eye(4), torch.eye(4)
        >>> info_nce(q, k, temperature=0.5)
        tensor(0.3408)
        >>> queue = torch.eye(4)[1:3]
        >>> info_nce(q[:1], k[:1], queue, temperature=0.5)
        tensor(0.2395)
        >>> loss, told = info_nce(q, k, temperature=0.5, statistics=True)
        >>> told.effective_negatives
        tensor([3., 3., 3., 3.])
    """
    if negatives is not None:
        queries, keys, negatives = promoted(queries, keys, negatives)
    check_pair("queries", queries, "keys", keys)
    candidates, positives = _candidates(queries, keys, negatives, in_batch)
    own = torch.arange(len(keys), device=keys.device) if positives is None else None
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    if labels is None:
        known = None if classes is None else _padded(classes, len(queries), candidates)
        layout = Layout(own=own)
        return compare(
            {"queries": queries},
            candidates,
            layout,
            options,
            positives=positives,
            classes=known,
            ids=_checked_ids(ids, queries),
        )
    if positives is not None:
        raise InputError("labels tell several positives in the batch; give in_batch=True, too")
    _check_labels("labels", labels, len(queries))
    if statistics or classes is not None:
        raise InputError("with labels there are no statistics; leave statistics and classes out")

    def target(space: Logits) -> Tensor:
        theirs = positions(named(similarity), "keys", keys, backend, space.centre)
        groups, counts = _groups(labels, backend)
        if isinstance(temperature, Policy) and temperature.link is not None:
            layout = Layout(
                anchor_class=groups, candidate_class=groups, same_class=True, link=temperature.link
            )
            return _linked_mean(space.anchors, theirs, layout, counts, backend)
        means = _class_sums(theirs, groups, backend) / counts[:, None]
        return (space.anchors * means).sum(dim=1)

    return compare(
        {"queries": queries}, candidates, Layout(), options, target=target, target_in_sum=False
    )


@uncompiled
def instance_softmax(
    queries: Float[Tensor, "n d"],
    bank: Float[Tensor, "k d"],
    ids: Int[Tensor, " n"],
    *,
    temperature: Temperature = 0.07,
    weights: Float[Tensor, " n"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""The softmax over all instances of InstDisc: every instance is a class, its weights the bank's vector.

    .. math:: L_i = -\log \frac{e^{s(q_i, v_i)/\tau}}{\sum_{j=1}^{k} e^{s(q_i, v_j)/\tau}}

    The paper (Wu et al. 2018, arXiv 1805.01978) calls it the non-parametric softmax, and approximates it by
    ``temperance.losses.NCE``; here it costs one matrix product that is never held.

    Args:
        queries: ``(n, d)``.
        bank: ``(k, d)``, such as the vectors of ``negatives.MemoryBank``; the same on all ranks.
        ids: ``(n,)`` which instance each query is.
        temperature: τ > 0; a scalar, or ``(n,)``.
        weights: ``(n,)``, each ≥ 0.
        similarity: see above.
        reduction: see above.
        statistics: see above.
        backend: see above; not over ranks.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``.

    Example:
        >>> import torch
        >>> instance_softmax(torch.eye(4)[:2], torch.eye(4), torch.tensor([0, 1]), temperature=0.5)
        tensor(0.3408)
    """
    queries, bank = promoted(queries, bank)
    check_vectors("queries", queries)
    check_width("bank", bank, queries)
    _check_labels("ids", ids, len(queries))
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(bank):
        raise InputError(f"ids are not all from 0 to {len(bank) - 1}; give the rows of the bank")
    if backend in OVER_RANKS:
        raise InputError(
            f"backend {backend!r} is for a batch; the bank is the same on all ranks: give backend='auto'"
        )
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    layout = Layout(own=ids.long())
    return compare({"queries": queries}, {"bank": bank}, layout, options, ids=ids)


@uncompiled
def nt_xent(
    view_a: Float[Tensor, "n d"],
    view_b: Float[Tensor, "n d"],
    *,
    temperature: Temperature = 0.1,
    classes: Int[Tensor, " n"] | None = None,
    ids: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " m"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""NT-Xent, the loss of SimCLR: every view of the batch is an anchor.

    With z the m = 2n rows of both views and j(i) the other view of row i,

    .. math:: L_i = -\log \frac{e^{s(z_i, z_{j(i)})/\tau}}{\sum_{k \neq i} e^{s(z_i, z_k)/\tau}}

    so that each anchor has one positive and 2n - 2 negatives (Chen et al. 2020, arXiv 2002.05709).

    Args:
        view_a: ``(n, d)``, one view of each instance.
        view_b: ``(n, d)``, the other view, in the same order.
        temperature: τ > 0; a scalar, or ``(2n,)``.
        classes: ``(n,)`` classes of the instances, for the statistics alone: what share of the push falls on
            negatives of the anchor's own class.
        ids: ``(n,)`` which instances of the data set they are, for ``temperatures.PerAnchor``.
        weights: ``(2n,)``, each ≥ 0.
        similarity: see above.
        reduction: see above.
        statistics: see above.
        backend: see above.

    Returns:
        A scalar in nats, or ``(2n,)`` (all of ``view_a``, then all of ``view_b``) with
        ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> nt_xent(torch.eye(4), torch.eye(4), temperature=0.5)
        tensor(0.5944)
    """
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    return _two_views(view_a, view_b, classes, options, target_in_sum=True, ids=ids)


@uncompiled
def decoupled(
    view_a: Float[Tensor, "n d"],
    view_b: Float[Tensor, "n d"],
    *,
    temperature: Temperature = 0.1,
    classes: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " m"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""Decoupled contrastive loss: NT-Xent without the positive in the denominator.

    .. math:: L_i = -s(z_i, z_{j(i)})/\tau + \log \sum_{k \neq i, j(i)} e^{s(z_i, z_k)/\tau}

    so that the pull on a positive does not fade as it comes near (Yeh et al. 2022, arXiv 2110.06848). It
    may be negative.

    Args and returns are those of ``nt_xent``; at least two instances are needed.

    Example:
        >>> import torch
        >>> decoupled(torch.eye(4), torch.eye(4), temperature=0.5)
        tensor(-0.2082)
    """
    if len(view_a) == 1 and (backend not in OVER_RANKS or ranks() == 1):
        raise InputError("view_a has one row, and so no negatives; give at least two instances")
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    return _two_views(view_a, view_b, classes, options, target_in_sum=False)


@uncompiled
def clip(
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "n d"],
    *,
    temperature: float | Float[Tensor, ""] | Policy = 0.07,
    weights: Float[Tensor, " n"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""The symmetric loss of CLIP: each image among all texts, and each text among all images.

    .. math:: L_i = -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ik}/\tau}}
                    -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ki}/\tau}}

    Radford et al. 2021, arXiv 2103.00020. CLIP's logit scale is 1/τ.

    Args:
        image: ``(n, d)``.
        text: ``(n, d)``; row i belongs to image i.
        temperature: τ > 0, a scalar.
        weights: ``(n,)``, one for each pair, each ≥ 0.
        similarity: see above.
        reduction: over pairs; see above.
        statistics: see above; anchors are the images and then the texts.
        backend: see above.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> clip(torch.eye(4), torch.eye(4), temperature=0.5)
        tensor(0.3408)
    """
    check_pair("image", image, "text", text)
    _check_shared(temperature)
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    own = torch.arange(len(text), device=text.device)
    return compare({"image": image}, {"text": text}, Layout("both", own=own), options)


@uncompiled
def sup_con(
    embeddings: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    temperature: Temperature = 0.1,
    inside: bool = False,
    weights: Float[Tensor, " n"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    backend: Backend = "auto",
) -> Float[Tensor, "..."]:
    r"""SupCon: all others of the anchor's class are positives.

    With P the other rows of the anchor's class and all other rows in the denominator,

    .. math:: L^{out}_i = -\frac{1}{|P|} \sum_{p \in P} \log
                          \frac{e^{s_p/\tau}}{\sum_{a \neq i} e^{s_a/\tau}}, \qquad
              L^{in}_i = -\log \Big( \frac{1}{|P|} \sum_{p \in P}
                          \frac{e^{s_p/\tau}}{\sum_{a \neq i} e^{s_a/\tau}} \Big)

    (Khosla et al. 2020, arXiv 2004.11362, who recommend the sum outside). Anchors that are alone in
    their class have no positive: their loss is 0, and the mean leaves them out.

    Args:
        embeddings: ``(n, d)``, of all views, one below the other.
        labels: ``(n,)`` class of each row.
        temperature: τ > 0; a scalar, or ``(n,)``.
        inside: whether the sum over positives stands inside the logarithm.
        weights: ``(n,)``, each ≥ 0.
        similarity: ``"cosine"``, ``"dot"`` or ``"euclidean"``.
        reduction: see above.
        backend: see above.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Raises:
        InputError: if no class has two members.

    Example:
        >>> import torch
        >>> z = torch.eye(4)[[0, 0, 1, 1]]
        >>> sup_con(z, torch.tensor([0, 0, 1, 1]), temperature=0.5)
        tensor(0.2395)
    """
    check_backend(backend)
    check_vectors("embeddings", embeddings)
    _check_labels("labels", labels, len(embeddings))
    n = len(embeddings)
    anchor_weights("sum", weights, n, embeddings)  # checks them
    groups, counts = _groups(labels, backend)
    others = counts - 1
    alone = others == 0
    over_ranks = backend in OVER_RANKS
    if bool(alone.all()) and not (over_ranks and ranks() > 1):
        raise InputError("no class has two members, so no row has a positive; give larger batches")
    itself = torch.arange(n, device=labels.device)

    @torch.no_grad()
    def batch() -> Batch:
        one = embeddings.new_ones((), dtype=arithmetic(embeddings))
        seen = logits(
            named(similarity), one, {"embeddings": embeddings}, {"all": embeddings}, backend
        )
        layout = Layout(itself=itself, anchor_class=groups, candidate_class=groups)
        theirs = seen.positions(0)
        means = (_class_sums(theirs, groups, backend) - theirs) / others.clamp_min(1)[:, None]
        found = (seen.anchors * means).sum(dim=1)[~alone]
        return seen.batch(layout, found, over_ranks=over_ranks, travels=over_ranks)

    tau, link = tempered(temperature, similarity, embeddings, n, batch)
    space = symmetric_logits(named(similarity), tau, {"embeddings": embeddings}, backend)
    if link is not None:
        space = space.linked(link)
    given = tau.new_ones(n) if weights is None else weights
    factors = anchor_weights(reduction, given * ~alone, n, tau, over_ranks=over_ranks)
    whole = Layout("rows" if space.of_candidates else "symmetric", itself=itself, link=link)
    same = replace(whole, anchor_class=groups, candidate_class=groups, same_class=True)

    def sums(layout: Layout, target: Tensor, weights: Tensor | None, in_sum: bool) -> Tensor:
        return space.contrast(
            target, layout, weights=weights, target_in_sum=in_sum, backend=backend
        )[0]

    if not inside:
        rows = space.positions(0)
        if link is None:
            mean = (_class_sums(rows, groups, backend) - rows) / others.clamp_min(1)[:, None]
            target = (space.anchors * mean).sum(dim=1)
        else:
            target = _linked_mean(space.anchors, rows, same, others, backend)
        loss = sums(whole, target, factors, False)
        return loss if factors is not None else loss.masked_fill(alone, 0.0) * given
    target = sums(same, tau.new_zeros(n), None, False).masked_fill(alone, 0.0)
    losses = sums(replace(same, same_class=False), target, None, True)
    losses = (losses + others.clamp_min(1).log()).masked_fill(alone, 0.0)
    return losses * given if factors is None else torch.dot(losses, factors)


@uncompiled
def hard_contrastive(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    *,
    temperature: Temperature = 0.3,
    share: float = 0.08,
    in_batch: bool | None = None,
    weights: Float[Tensor, " n"] | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    statistics: bool = False,
    backend: Backend = "auto",
) -> Loss:
    r"""Hard contrastive loss: InfoNCE over each query's hardest negatives alone.

    .. math:: L_i = -\log \frac{e^{s_{ii}/\tau}}
                              {e^{s_{ii}/\tau} + \sum_{s_{ik} \geq s^{(i)}_\alpha} e^{s_{ik}/\tau}}

    where :math:`s^{(i)}_\alpha` is the upper α-quantile of the query's negatives (Wang & Liu, CVPR 2021,
    arXiv 2012.09740). It keeps the attention to hard negatives where τ is high. Which negatives are hard
    is found anew at each call, and no gradient flows through that choice.

    Args:
        queries: ``(n, d)``.
        keys: ``(n, d)``; row i is the positive of query i.
        negatives: ``(k, d)`` further keys; see ``info_nce``.
        temperature: τ > 0; a scalar, or ``(n,)``.
        share: α, the share of the negatives that are hard, in (0, 1]; the paper takes .0315 to .0819.
        in_batch: see ``info_nce``.
        weights: ``(n,)``, each ≥ 0.
        similarity: ``"cosine"``, ``"dot"`` or ``"euclidean"``.
        reduction: see above.
        statistics: see above; they are of the hard negatives.
        backend: see above.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> q = torch.tensor([[1.0, 0.0]] * 3)
        >>> k = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> hard_contrastive(q, k, temperature=0.5, share=0.5, reduction="none")
        tensor([0.5130, 0.9130, 2.1269])
    """
    check_pair("queries", queries, "keys", keys)
    named(similarity)
    _check_share(share)
    candidates, positives = _candidates(queries, keys, negatives, in_batch)
    own = torch.arange(len(keys), device=keys.device) if positives is None else None
    options = Options(temperature, similarity, reduction, weights, statistics, backend)
    anchors = {"queries": queries}
    return compare(anchors, candidates, Layout(own=own), options, positives=positives, share=share)


@uncompiled
def simple_contrastive(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    *,
    weight: float | None = None,
    hardest: float | None = None,
    in_batch: bool | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    backend: Backend = "auto",
) -> Float[Tensor, "..."]:
    r"""Simple loss: pull the positive, push all negatives alike.

    .. math:: L_i = -s_{ii} + \lambda \sum_k s_{ik}

    the limit of InfoNCE as τ → ∞ (Wang & Liu, CVPR 2021, arXiv 2012.09740). With ``hardest`` the sum is
    over each query's hardest negatives alone (HardSimple), as in ``hard_contrastive``.

    Args:
        queries: ``(n, d)``.
        keys: ``(n, d)``; row i is the positive of query i.
        negatives: ``(k, d)`` further keys; see ``info_nce``.
        weight: λ ≥ 0; unless told, one over the number of negatives in the sum.
        hardest: α, the share of the negatives that are summed, in (0, 1]; None for all.
        in_batch: see ``info_nce``.
        similarity: ``"cosine"``, ``"dot"`` or ``"euclidean"``.
        reduction: see above.
        backend: see above.

    Returns:
        A scalar, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> simple_contrastive(torch.eye(4), torch.eye(4))
        tensor(-1.)
    """
    check_backend(backend, kernels=False)
    check_pair("queries", queries, "keys", keys)
    candidates, positives = _candidates(queries, keys, negatives, in_batch)
    n = len(queries)
    tau = checked_temperature(1.0, queries, n)
    over_ranks = backend in OVER_RANKS
    if over_ranks and positives is not None:
        backend = "auto"  # a queue alone: each rank compares with its own
    space = logits(named(similarity), tau, {"queries": queries}, {}, backend)
    parts = [
        positions(named(similarity), name, x, backend, space.centre)
        for name, x in (candidates | (positives or {})).items()
    ]
    own = parts[0] if positives is None else parts.pop()
    layout = Layout(own=torch.arange(n, device=queries.device) if positives is None else None)
    if hardest is not None:
        _check_share(hardest)
        compared = replace(space, of_candidates=parts, scales=[None] * len(parts))
        layout = replace(layout, floor=compared.floors(layout, hardest, backend))

    def total(function: Elementwise) -> Tensor:
        sums, how, here = tau.new_zeros(n), backend, layout
        for part in parts:
            sums = sums + pair_sums(space.anchors, part, tau.new_zeros(()), here, function, how)
            # Queues stay where they are, and hold no positives.
            how, here = "dense" if backend == "dense" else "auto", layout.among_others()
        return sums

    pushed = total(LINEAR)
    if weight is None:
        with torch.no_grad():
            counts = total(COUNT)
        pushed = pushed / counts.clamp_min(1)
    elif 0 <= weight < float("inf"):
        pushed = pushed * weight
    else:
        raise InputError(
            f"weight {weight:g} is negative or not finite; give a number of at least 0"
        )
    losses = pushed - (space.anchors * own).sum(dim=1)
    factors = anchor_weights(reduction, None, n, tau, over_ranks=over_ranks)
    return losses if factors is None else torch.dot(losses, factors)


@uncompiled
def sigmoid(
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "n d"],
    *,
    temperature: float | Float[Tensor, ""] | Policy = 0.1,
    bias: float | Float[Tensor, ""] = -10.0,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
    backend: Backend = "auto",
) -> Float[Tensor, "..."]:
    r"""The sigmoid loss of SigLIP: every pair is a yes-or-no question of its own.

    .. math:: L_i = -\sum_j \log \sigma\big(z_{ij} (s_{ij}/\tau + b)\big),
              \qquad z_{ij} = 1 \text{ if } i = j \text{, else } -1

    Zhai et al. 2023, arXiv 2303.15343. No softmax ties the pairs together.

    Args:
        image: ``(n, d)``.
        text: ``(n, d)``; row i belongs to image i.
        temperature: τ > 0, a scalar; SigLIP begins at 0.1.
        bias: b, which receives its gradient; SigLIP begins at -10.
        similarity: ``"cosine"``, ``"dot"`` or ``"euclidean"``.
        reduction: ``"mean"`` or ``"sum"`` over images, or ``"none"``.
        backend: see above.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Example:
        >>> import torch
        >>> sigmoid(torch.eye(2), torch.eye(2), temperature=1.0, bias=0.0)
        tensor(1.0064)
    """
    check_backend(backend, kernels=False)
    check_pair("image", image, "text", text)
    n = len(image)
    layout = Layout(own=torch.arange(n, device=image.device))
    over_ranks = backend in OVER_RANKS
    _check_shared(temperature)

    @torch.no_grad()
    def batch() -> Batch:
        one = image.new_ones((), dtype=arithmetic(image))
        seen = logits(named(similarity), one, {"image": image}, {"text": text}, backend)
        return seen.batch(layout, over_ranks=over_ranks, travels=over_ranks)

    tau, link = tempered(temperature, similarity, image, n, batch)
    layout = replace(layout, link=link)
    b = torch.as_tensor(bias, dtype=tau.dtype, device=tau.device)
    if b.ndim or not bool(torch.isfinite(b)):
        raise InputError(f"bias {bias} is not one finite number; give one such as -10")
    space = logits(named(similarity), tau, {"image": image}, {}, backend)
    theirs = positions(named(similarity), "text", text, backend, space.centre)
    apart = pair_sums(space.anchors, theirs, b, layout, SOFTPLUS, backend)
    same = (space.anchors * theirs).sum(dim=1)
    together = softplus(-((same if link is None else link(same)) + b), threshold=40.0)
    factors = anchor_weights(reduction, None, n, tau, over_ranks=over_ranks)
    losses = together + apart
    return losses if factors is None else torch.dot(losses, factors)


def _two_views(
    view_a: Tensor,
    view_b: Tensor,
    classes: Tensor | None,
    options: Options,
    *,
    target_in_sum: bool,
    ids: Tensor | None = None,
) -> Loss:
    check_pair("view_a", view_a, "view_b", view_b)
    n = len(view_a)
    own = torch.arange(2 * n, device=view_a.device).roll(n)
    anchors = {"view_a": view_a, "view_b": view_b}
    known = None
    if classes is not None:
        _check_labels("classes", classes, n)
        known = (classes.repeat(2), classes.repeat(2))
    layout = Layout("symmetric", own=own, itself=own.roll(n))
    whose = _checked_ids(ids, view_a)
    return compare(
        anchors,
        {},
        layout,
        options,
        target_in_sum=target_in_sum,
        classes=known,
        ids=None if whose is None else whose.repeat(2),
    )


def _candidates(
    queries: Tensor, keys: Tensor, negatives: Tensor | None, in_batch: bool | None
) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """Parts of the candidates, and the positives where they are not among them."""
    if negatives is None:
        if in_batch is False:
            raise InputError("in_batch=False leaves no candidates; give negatives too")
        return {"keys": keys}, None
    check_width("negatives", negatives, queries)
    if in_batch:
        return {"keys": keys, "negatives": negatives}, None
    return {"negatives": negatives}, {"keys": keys}


def _padded(classes: Tensor, rows: int, candidates: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Classes of anchors and of candidates; those of a queue are unknown, and like no other."""
    _check_labels("classes", classes, rows)
    members = torch.unique(classes, return_inverse=True)[1]
    known = [
        members if name == "keys" else members.new_full((len(x),), -1)
        for name, x in candidates.items()
    ]
    return members, torch.cat(known)


def _checked_ids(ids: Tensor | None, rows: Tensor) -> Tensor | None:
    if ids is not None:
        _check_labels("ids", ids, len(rows))
    return ids


def _check_labels(name: str, labels: Tensor, rows: int) -> None:
    if labels.shape != (rows,) or labels.is_floating_point():
        raise InputError(
            f"{name} have shape {tuple(labels.shape)} and type {labels.dtype}; "
            f"give one whole number for each of the {rows} rows"
        )


def _check_shared(temperature: Temperature) -> None:
    if isinstance(temperature, Policy):
        if isinstance(temperature, PerAnchor) or getattr(temperature, "per_anchor", False):
            raise InputError(
                f"temperature {temperature.name!r} gives one to each anchor; images and texts share theirs"
            )
        return
    if isinstance(temperature, Tensor) and temperature.ndim:
        raise InputError(
            f"temperature has shape {tuple(temperature.shape)}; give one number: images and texts share it"
        )


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"share {share:g} is not in (0, 1]; give one such as 0.08")


def _linked_mean(
    anchors: Tensor, rows: Tensor, same: Layout, counts: Tensor, backend: Backend
) -> Tensor:
    """For each anchor the mean logit of its class, where a link makes logits: no mean of vectors gives it."""
    layout = replace(same, sums="rows")
    return pair_sums(anchors, rows, rows.new_zeros(()), layout, LINEAR, backend) / counts.clamp_min(
        1
    )


def _groups(labels: Tensor, backend: Backend) -> tuple[Tensor, Tensor]:
    """Each row's class, counted from 0, and how many rows have it, of all ranks that share a batch."""
    parts = parts_of_ranks(labels) if backend in OVER_RANKS else [labels]
    groups, counts = torch.unique(torch.cat(parts), return_inverse=True, return_counts=True)[1:]
    here = groups.split([len(part) for part in parts])[rank() if len(parts) > 1 else 0]
    return here, counts[here]


def _class_sums(rows: Tensor, groups: Tensor, backend: Backend) -> Tensor:
    """For each row the sum over all rows of its class, over all ranks where they share a batch."""
    classes = parts_of_ranks(groups) if backend in OVER_RANKS else [groups]
    size = max(int(part.max()) for part in classes) + 1

    def of(rows: Tensor, theirs: Tensor) -> Tensor:
        sums = rows.new_zeros(size, rows.shape[1]).index_add(0, theirs, rows)
        each: Tensor = sums[groups]
        return each

    if backend == "ring":
        return ring_sums(lambda owner, _, block: of(block, classes[owner]), rows, rows)
    if backend == "gather":
        return of(gathered(rows)[0], torch.cat(classes))
    return of(rows, groups)
