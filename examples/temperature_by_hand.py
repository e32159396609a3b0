"""Train a small encoder with NT-Xent at three temperatures, in a plain loop, and look at the spaces.

``python examples/temperature_by_hand.py``: the digits of scikit-learn, with noise for a second view.
"""

import torch
from sklearn.datasets import load_digits

from temperance import NTXent
from temperance.geometry import tolerance, uniformity

STEPS = 60


def main() -> None:
    """Print a line for each temperature: τ, evenness, tolerance."""
    digits = load_digits()
    pictures = torch.tensor(digits.data, dtype=torch.float32) / 16
    classes = torch.tensor(digits.target)
    print("τ      -uniformity  tolerance")
    for temperature in (0.05, 0.2, 1.0):
        space = train(pictures, temperature)
        print(f"{temperature:<5}  {-uniformity(space):11.2f}  {tolerance(space, classes):9.2f}")


def train(pictures: torch.Tensor, temperature: float) -> torch.Tensor:
    """Unit vectors of all pictures after a short training at one temperature."""
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 32)
    )
    loss = NTXent(temperature=temperature)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for _ in range(STEPS):
        batch = pictures[torch.randperm(len(pictures))[:256]]
        views = [encoder(batch + 0.2 * torch.randn_like(batch)) for _ in range(2)]
        optimizer.zero_grad()
        loss(*views).backward()
        optimizer.step()
    with torch.no_grad():
        return torch.nn.functional.normalize(encoder(pictures))


if __name__ == "__main__":
    main()
