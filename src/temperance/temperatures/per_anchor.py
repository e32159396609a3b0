"""A temperature for every instance of the data set, learned with its own state."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.contrast import parts_of_ranks
from temperance.errors import InputError
from temperance.temperatures.policy import Batch, Policy, checked, checked_range


class PerAnchor(Policy):
    r"""iSogCLR: every instance has a temperature, set by a robust loss (Qiu et al. 2023, arXiv 2305.11965).

    .. math:: L_i = \min_{\tau_i} \tau_i \log \frac1{m} \sum_k e^{(s_{ik} - s_{ii})/\tau_i} + \tau_i \rho

    over the m negatives of anchor i. It is a loss of its own, scaled by τ. At its minimum the shares of
    the push have :math:`KL(r_i \| \text{uniform}) = \rho`: effective negatives of m e^{-ρ}, a
    perplexity target. The mean of exponentials is a moving average u_i over the batches in which the
    instance was, which frees the gradient of the bias of small batches; τ_i goes down its own slope.
    The state is a number of each kind for every instance, the same on all ranks.

    For ``info_nce`` with its negatives in the batch or a queue, and ``nt_xent``; both then take ``ids``.

    Args:
        instances: of the whole data set; ids are from 0 to instances - 1.
        initial: τ of every instance at the beginning.
        rho: ρ > 0.
        lowest: τ is never lower.
        highest: τ is never higher.
        learning_rate: of the temperatures.
        average: γ in (0, 1], the weight of the batch in the moving average.

    Example:
        >>> from temperance import InfoNCE
        >>> loss = InfoNCE(temperature=PerAnchor(instances=100))
        >>> z = torch.eye(4)
        >>> loss(z, z, ids=torch.tensor([7, 1, 99, 3]))
        tensor(-0.9700)
    """

    name = "per-anchor"
    tau: Tensor
    log_mean: Tensor

    def __init__(
        self,
        instances: int,
        *,
        initial: float = 0.1,
        rho: float = 0.3,
        lowest: float = 0.05,
        highest: float = 0.7,
        learning_rate: float = 0.01,
        average: float = 0.9,
    ) -> None:
        super().__init__()
        if instances < 1:
            raise InputError(
                f"instances {instances} is not positive; give the size of the data set"
            )
        self.lowest, self.highest = checked_range(lowest, highest)
        initial = checked("temperature", initial, lowest, highest, "one within the bounds")
        self.rho = checked("rho", rho, 1e-9, 1e3, "a number such as 0.3")
        self.learning_rate = checked("learning rate", learning_rate, 0, 1e3, "one such as 0.01")
        self.average = checked("average", average, 1e-6, 1, "a weight such as 0.9")
        self.register_buffer("tau", torch.full((instances,), initial))
        # log u; nan for instances that were in no batch yet.
        self.register_buffer("log_mean", torch.full((instances,), math.nan))

    def temperature(self, batch: Batch) -> Float[Tensor, " n"]:
        """Each anchor's own."""
        return self.tau[self._known(batch)].to(batch.anchors.dtype)

    def objective(
        self,
        batch: Batch,
        log_mean: Float[Tensor, " n"],
        excess: Float[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """Each anchor's loss; in training mode its temperature and its moving average go a step on.

        Args:
            batch: of which ``temperature`` was asked.
            log_mean: log of the mean of :math:`e^{(s_{ik} - s_{ii})/τ_i}` over the anchor's negatives.
            excess: mean of :math:`(s_{ik} - s_{ii})/τ_i`, each by its share of the push.
        """
        ids = self._known(batch)
        seen = log_mean.detach().to(self.log_mean.dtype)
        before = self.log_mean[ids]
        aged = torch.logaddexp(
            math.log1p(-self.average) + before
            if self.average < 1
            else torch.full_like(seen, -math.inf),
            math.log(self.average) + seen,
        )
        average = torch.where(before.isnan(), seen, aged)
        weight = torch.exp(seen - average)
        tau = self.tau[ids]
        if self.training:
            slope = average + self.rho - weight * excess.to(tau.dtype)
            self._store(batch, ids, average, slope)
        value, tau, weight = (x.to(log_mean.dtype) for x in (average + self.rho, tau, weight))
        # Its value is τ(log u + ρ), its gradient τ ∇g/u.
        return tau * (value + weight * (log_mean - log_mean.detach()))

    def _known(self, batch: Batch) -> Int[Tensor, " n"]:
        ids = batch.ids
        if ids is None:
            raise InputError("a temperature for each instance needs to know them; give ids")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.tau):
            wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise InputError(
                f"ids hold {wrong}, but there are {len(self.tau)} instances; give numbers from 0 to "
                f"{len(self.tau) - 1}"
            )
        return ids

    @torch.no_grad()
    def _store(self, batch: Batch, ids: Tensor, average: Tensor, slope: Tensor) -> None:
        """Keep what the batch told, each instance once, on all ranks alike."""
        if batch.over_ranks:
            ids, average, slope = (torch.cat(parts_of_ranks(x)) for x in (ids, average, slope))
        once, member, counts = torch.unique(ids, return_inverse=True, return_counts=True)
        mean = [x.new_zeros(len(once)).index_add_(0, member, x) / counts for x in (average, slope)]
        self.log_mean[once] = mean[0]
        tau = self.tau[once] - self.learning_rate * mean[1]
        self.tau[once] = tau.clamp_(self.lowest, self.highest)
