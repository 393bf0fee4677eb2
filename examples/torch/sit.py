"""A small SiT in PyTorch on scikit-learn's digits: flow matching on the straight path, velocity predicted.

`uv pip install torch==2.13.0` first; dit-grid itself does not need it. Ma et al. 2024 (arXiv 2401.08740), linear path.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class Block(nn.Module):
    """Attention and an MLP, each shifted, scaled and gated by the condition, which begins as the identity."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight), nn.init.zeros_(self.modulation.bias)

    def forward(self, x, c):
        s1, b1, g1, s2, b2, g2 = self.modulation(c)[:, None].chunk(6, -1)
        h = self.norm1(x) * (1 + s1) + b1
        x = x + g1 * self.attention(h, h, h, need_weights=False)[0]
        return x + g2 * self.mlp(self.norm2(x) * (1 + s2) + b2)


class SiT(nn.Module):
    """Velocity of 8 x 8 images (B, 64) at times (B,) of classes (B,), from 16 tokens of 2 x 2 pixels."""

    def __init__(self, width, depth, heads):
        super().__init__()
        self.inward, self.outward = nn.Linear(4, width), nn.Linear(width, 4)
        self.place = nn.Parameter(0.02 * torch.randn(16, width))
        self.time, self.label = nn.Linear(32, width), nn.Embedding(10, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        nn.init.zeros_(self.outward.weight), nn.init.zeros_(self.outward.bias)

    def forward(self, x, t, y):
        x = x.view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        angles = t[:, None] * torch.exp(torch.linspace(0, 6, 16))
        c = nn.functional.silu(self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(y))
        x = self.inward(x) + self.place
        for block in self.blocks:
            x = block(x, c)
        return self.outward(x).view(-1, 4, 4, 2, 2).transpose(2, 3).reshape(-1, 64)


def velocity_loss(model, images, labels, seed):
    """The squared error of the velocity, with times and noise of this seed."""
    draw = torch.Generator().manual_seed(seed)
    t, noise = torch.rand(len(images), generator=draw), torch.randn(images.shape, generator=draw)
    noisy = (1 - t[:, None]) * images + t[:, None] * noise
    return ((model(noisy, t, labels) - (noise - images)) ** 2).mean()


def train(run):
    """Train from the run's step to its last, resuming bit for bit: a batch is a function of seed and step."""
    torch.manual_seed(run.seed)
    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float() / 8 - 1
    model = SiT(run.config["width"], run.config["depth"], run.config["heads"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.config["lr"], weight_decay=0)
    if run.step:
        kept = torch.load(run.checkpoint_folder(run.step) / "state.pt", weights_only=True)
        model.load_state_dict(kept["model"]), optimizer.load_state_dict(kept["optimizer"])
    for step in range(run.step + 1, run.steps + 1):
        seed = int(np.random.default_rng([run.seed, step]).integers(2**31))
        chosen = torch.randint(1500, (64,), generator=torch.Generator().manual_seed(seed))
        loss = velocity_loss(model, images[chosen], labels[chosen], seed)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        if step % run.log_every == 0:
            run.log(step, loss=loss.item())
        stop, due = run.stop_requested, step % run.checkpoint_every == 0 or step == run.steps
        if due:
            with torch.no_grad():
                heldout = velocity_loss(model, images[1500:].repeat(8, 1), labels[1500:].repeat(8), 0)
            run.evaluate(step, heldout_velocity=heldout.item(), samples=8 * 297, seed=0)
        if due or stop:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, run.checkpoint_folder(step) / "state.pt")
            run.commit(step)
        if stop:
            return
