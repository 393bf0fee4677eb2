"""The diffusion transformer of Peebles & Xie (2022) in PyTorch, as its users would train it: a peer to time against.

adaLN-Zero alone. Written from the paper, with the parameter names of the published checkpoints, so that the golden
arrays of the reference can check it: `python -m dit_grid.orchestrator.bench.torch_dit tests/golden/dit_p4_16x16.npz`.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head self-attention by torch's fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two layers with the tanh form of GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP behind adaptive norms, each added through a gate."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.attn, self.mlp = Attention(width, heads), Mlp(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class Final(nn.Module):
    """The last adaptive norm, and tokens to pixels."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, dim=-1)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class DiT(nn.Module):
    """Images (B, C, H, W), timesteps (B,), labels (B,) to noise and variance (B, 2 C, H, W)."""

    def __init__(self, side: int, patch: int, width: int, depth: int, heads: int, classes: int = 1000) -> None:
        super().__init__()
        self.patch, self.side = patch, side
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(4, width, patch, patch)})
        self.t_embedder = nn.ModuleDict({
            "mlp": nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width)),
        })  # fmt: skip
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(classes + 1, width)})
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width), requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final_layer = Final(width, patch * patch * 8)

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = self.x_embedder["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed
        rates = torch.exp(-math.log(10_000) * torch.arange(128, dtype=torch.float32) / 128)
        angles = t[:, None].float() * rates
        c = self.t_embedder["mlp"](torch.cat([angles.cos(), angles.sin()], dim=-1))
        c = c + self.y_embedder["embedding_table"](y)
        for block in self.blocks:
            x = block(x, c)
        x = self.final_layer(x, c)
        grid, patch = self.side // self.patch, self.patch
        x = x.reshape(-1, grid, grid, patch, patch, 8)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(-1, 8, self.side, self.side)


def updates(
    side: int, patch: int, width: int, depth: int, heads: int, *, batch: int, compiled: bool
) -> Callable[[], float]:
    """One update as a function without arguments: noise in, loss of the noise, AdamW in one kernel, average of weights.

    Leaves out the loss of the variance, which costs ours a little.
    """
    torch.manual_seed(0)
    model = DiT(side, patch, width, depth, heads)
    averaged = [value.detach().clone() for value in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0, fused=True)
    forward = torch.compile(model) if compiled else model
    images, labels = torch.randn(batch, 4, side, side), torch.randint(0, 1000, (batch,))
    kept = torch.linspace(1, 0.01, 1000)

    def update() -> float:
        t, noise = torch.randint(0, 1000, (batch,)), torch.randn_like(images)
        share = kept[t][:, None, None, None]
        noisy = share.sqrt() * images + (1 - share).sqrt() * noise
        loss = (forward(noisy, t, labels)[:, :4] - noise).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, list(model.parameters()), 1e-4)
        return float(loss.detach())

    return update


def sampler(
    side: int, patch: int, width: int, depth: int, heads: int, *, images: int, steps: int, guidance: float,
    compiled: bool,
) -> Callable[[], torch.Tensor]:  # fmt: skip
    """Images (B, 4, H, W) by the respaced DDPM chain with learned variance, as a function without arguments.

    Classifier-free guidance moves the first three channels, as the paper's samples were made.
    """
    torch.manual_seed(0)
    model = DiT(side, patch, width, depth, heads).eval()
    forward = torch.compile(model) if compiled else model
    labels = torch.cat([torch.arange(images), torch.full((images,), 1000)])
    times = torch.linspace(0, 999, steps, dtype=torch.float64).round().long()
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[times]
    before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    beta = 1 - kept / before
    least = beta * (1 - before) / (1 - kept)
    least[0] = least[1]

    def step(x: torch.Tensor, i: int) -> torch.Tensor:
        noise, variance = forward(torch.cat([x, x]), times[i].expand(2 * images), labels).chunk(2, dim=1)
        with_label, without = noise.chunk(2)
        noise = torch.cat([without[:, :3] + guidance * (with_label - without)[:, :3], with_label[:, 3:]], dim=1)
        a, b, beta_i = float(kept[i]), float(before[i]), float(beta[i])
        x0 = (x - math.sqrt(1 - a) * noise) / math.sqrt(a)
        mean = (math.sqrt(b) * beta_i * x0 + math.sqrt(1 - beta_i) * (1 - b) * x) / (1 - a)
        share = (variance[:images] + 1) / 2
        deviation = (0.5 * (share * math.log(beta_i) + (1 - share) * math.log(float(least[i])))).exp()
        return mean + deviation * torch.randn_like(x) if i else mean

    def draw() -> torch.Tensor:
        x = torch.randn(images, 4, side, side)
        with torch.inference_mode():
            for i in reversed(range(steps)):
                x = step(x, i)
        return x

    return draw


def check(golden: str) -> float:
    """The largest error of the forward pass against arrays of the reference implementation."""
    arrays = np.load(golden)
    config = {
        name: int(arrays[f"config.{name}"]) for name in ("latent", "patch", "hidden", "depth", "heads", "classes")
    }
    model = DiT(
        config["latent"], config["patch"], config["hidden"], config["depth"], config["heads"], config["classes"]
    )
    model.load_state_dict({name[3:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("sd.")})
    with torch.no_grad():
        given = [torch.from_numpy(arrays[f"in.{name}"]) for name in ("x", "t", "y")]
        return float((model(*given) - torch.from_numpy(arrays["out.forward"])).abs().max())


if __name__ == "__main__":
    print(f"largest error of the forward pass: {check(sys.argv[1]):.1e}")
