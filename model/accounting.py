"""What a network costs: parameters, multiply-accumulates, activation memory, and utilisation of a device's peak.

The only place where costs are computed. A MAC is one multiply-accumulate; the paper's "Gflops" are MACs of one forward
pass of one image, true FLOPs are twice that. Wall time and money belong to the planner; nothing here imports JAX.
"""

from typing import Any, NamedTuple

from dit_grid.model.config import ADALN, ADALN_ZERO, CROSS_ATTENTION, IN_CONTEXT, SEQUENCE_BLOCKS, DiTConfig
from dit_grid.model.entry_points import loaded

FREQUENCIES = 256
"""Width of the sinusoidal timestep table before its two linear layers (the reference implementation's)."""

TRAINING_FORWARDS = 3
"""Cost of an update in forward passes: the backward pass is counted as two (Peebles & Xie 2022, figure 9)."""

FLOPS_PER_MAC = 2

MODULATIONS = {ADALN_ZERO: 6, ADALN: 4, CROSS_ATTENTION: 0, IN_CONTEXT: 0}
"""Vectors of the model's width that a block regresses from the condition: shifts, scales and, in adaLN-Zero, gates."""

FINAL_MODULATIONS = 2


def params_by_term(config: DiTConfig) -> dict[str, int]:
    """Trainable parameters of each part; their sum is `trainable_params`."""
    d, N = config.width, config.depth
    own = _registered_block(config)
    adaptive = own is not None or MODULATIONS[config.block] > 0
    norms_per_block = {CROSS_ATTENTION: 3, IN_CONTEXT: 2}.get(config.block, 0)
    patch_values = config.patch**2
    terms = {
        "patch_embedding": (patch_values * config.channels + 1) * d,
        "timestep_mlp": (FREQUENCIES + 1) * d + (d + 1) * d,
        "condition": (config.classes + 1) * d if config.context_width is None else (config.context_width + 1) * d,
        "blocks": N * own.params(config) if own else 0,
        "attention": 0 if own else N * (4 * d**2 + 4 * d),
        "mlp": 0 if own else N * (2 * config.mlp_ratio * d**2 + (config.mlp_ratio + 1) * d),
        "cross_attention": N * (4 * d**2 + 4 * d) if config.block == CROSS_ATTENTION else 0,
        "modulation": 0 if own else N * MODULATIONS[config.block] * (d**2 + d),
        "norms": 0 if adaptive else (N * norms_per_block + 1) * 2 * d,
        "final_modulation": FINAL_MODULATIONS * (d**2 + d) if adaptive else 0,
        "final_linear": (d + 1) * patch_values * config.out_channels,
    }
    return {name: count for name, count in terms.items() if count}


def _registered_block(config: DiTConfig) -> Any:
    """The class of a block that an installed package registers, which counts itself; None for the paper's four."""
    return None if config.block in MODULATIONS else loaded("blocks", config.block)


def trainable_params(config: DiTConfig) -> int:
    """Trainable parameters, the paper's parameter column: without the fixed position table."""
    return sum(params_by_term(config).values())


def total_params(config: DiTConfig) -> int:
    """Trainable parameters and the fixed position table, as stored in the reference implementation's checkpoints."""
    return trainable_params(config) + config.tokens * config.width


def forward_macs_by_term(config: DiTConfig, context_tokens: int | None = None) -> dict[str, int]:
    """Multiply-accumulates of one forward pass of one image, by part; matrix products only, look-ups cost nothing.

    `context_tokens` is the length of the condition without the timestep, by default the config's: 1 for a class label.
    """
    d, N, n = config.width, config.depth, config.tokens
    context_tokens = config.context_length if context_tokens is None else context_tokens
    condition_tokens = context_tokens + 1 if config.block in SEQUENCE_BLOCKS else 0
    T = n + condition_tokens if config.block == IN_CONTEXT else n
    own = _registered_block(config)
    adaptive = own is not None or MODULATIONS[config.block] > 0
    terms = {
        "patch_embedding": n * config.patch**2 * config.channels * d,
        "timestep_mlp": FREQUENCIES * d + d**2,
        "context": 0 if config.context_width is None else context_tokens * config.context_width * d,
        "blocks": N * own.forward_macs(config, T) if own else 0,
        "qkv": 0 if own else N * 3 * T * d**2,
        "scores": 0 if own else N * T**2 * d,
        "values": 0 if own else N * T**2 * d,
        "projection": 0 if own else N * T * d**2,
        "mlp": 0 if own else N * 2 * config.mlp_ratio * T * d**2,
        "cross_attention": (
            N * (2 * T * d**2 + 2 * condition_tokens * d**2 + 2 * T * condition_tokens * d)
            if config.block == CROSS_ATTENTION
            else 0
        ),
        "modulation": 0 if own else N * MODULATIONS[config.block] * d**2,
        "final_modulation": FINAL_MODULATIONS * d**2 if adaptive else 0,
        "final_linear": n * d * config.patch**2 * config.out_channels,
    }
    return {name: macs for name, macs in terms.items() if macs}


def forward_macs(config: DiTConfig, context_tokens: int | None = None) -> int:
    """Multiply-accumulates of one forward pass of one image."""
    return sum(forward_macs_by_term(config, context_tokens).values())


def training_macs(config: DiTConfig, batch: int, steps: int, context_tokens: int | None = None) -> int:
    """Multiply-accumulates of `steps` updates at a global batch of `batch` images, the x-axis of figure 9."""
    return TRAINING_FORWARDS * forward_macs(config, context_tokens) * batch * steps


def sampling_macs(config: DiTConfig, steps: int, *, guided: bool = False, context_tokens: int | None = None) -> int:
    """Multiply-accumulates to sample one image; `guided` doubles them, a factor the paper's figure 10 leaves out."""
    return forward_macs(config, context_tokens) * steps * (2 if guided else 1)


def activation_bytes(config: DiTConfig, batch: int, *, compute_bytes: int = 4, remat: str = "none") -> int:
    """Estimated bytes that the backward pass keeps of `batch` images' forward pass; parameters excluded.

    Per token and block: the input, both normalised inputs, queries, keys, values, attention's output, the projection,
    the hidden layer before and after its nonlinearity, and the MLP's output, plus scores and probabilities in float32
    per pair of tokens and head. "block" keeps only each block's input and one block's insides while it is recomputed;
    "dots" keeps the results of matrix products with parameters. A guide to what fits, not a measurement.
    """
    d, N, r = config.width, config.depth, config.mlp_ratio
    T = config.tokens + (config.context_length + 1 if config.block == IN_CONTEXT else 0)
    inside = batch * T * ((9 + 2 * r) * d * compute_bytes + 2 * config.heads * T * 4)
    boundary = batch * T * d * compute_bytes
    products = batch * T * (5 + r) * d * compute_bytes
    if remat == "none":
        return N * (inside + boundary)
    if remat == "dots":
        return N * (products + boundary) + inside
    if remat == "block":
        return N * boundary + inside
    raise ValueError(f"remat {remat!r} is not one of none, dots, block")


class DevicePeak(NamedTuple):
    """A device's advertised peak of dense bfloat16 matrix products, and where the number is published."""

    flops_per_s: float
    source: str


_TPU = "Google Cloud, TPU system architecture, "
_NVIDIA = "NVIDIA, dense bfloat16 tensor cores, "
DEVICE_PEAKS = {
    "TPU v2": DevicePeak(45e12, _TPU + "v2: 180 TFLOP/s for a board of 4 chips"),
    "TPU v3": DevicePeak(123e12, _TPU + "v3: per chip"),
    "TPU v4": DevicePeak(275e12, _TPU + "v4: per chip"),
    "TPU v5 lite": DevicePeak(197e12, _TPU + "v5e: per chip"),
    "TPU v5p": DevicePeak(459e12, _TPU + "v5p: per chip"),
    "TPU v6 lite": DevicePeak(918e12, _TPU + "v6e: per chip"),
    "TPU7x": DevicePeak(2307e12, _TPU + "TPU7x: per chip"),
    "A100": DevicePeak(312e12, _NVIDIA + "A100 data sheet, SXM and PCIe"),
    "H100 PCIe": DevicePeak(756e12, _NVIDIA + "H100 PCIe data sheet, half of the figure with sparsity"),
    "H100 NVL": DevicePeak(835.5e12, _NVIDIA + "H100 NVL data sheet, half of the figure with sparsity"),
    "H100": DevicePeak(989.4e12, _NVIDIA + "H100 SXM data sheet, half of the figure with sparsity"),
    "H200": DevicePeak(989.4e12, _NVIDIA + "H200 SXM data sheet, half of the figure with sparsity"),
}
"""Peak per chip, keyed by the part of `jax.Device.device_kind` that identifies it, the first that fits. CPUs are
measured, not listed."""

TPU_CORES_PER_CHIP = {"TPU v2": 2, "TPU v3": 2, "TPU7x": 2}
"""Chips that JAX shows as several devices; later TPUs are one device a chip."""


def device_peak(device_kind: str) -> DevicePeak | None:
    """The peak of one JAX device by its `device_kind`, for example "NVIDIA H100 80GB HBM3"; None if it is not listed.

    A TPU v2 or v3 device is one of a chip's two cores, so its peak is half of the chip's.
    """
    kind = device_kind.replace("TPU v5e", "TPU v5 lite").replace("TPU v6e", "TPU v6 lite")
    kind = "TPU v5p" if kind == "TPU v5" else kind
    for name, peak in DEVICE_PEAKS.items():
        if name in kind:
            return peak._replace(flops_per_s=peak.flops_per_s / TPU_CORES_PER_CHIP.get(name, 1))
    return None


def model_flops_utilization(macs_per_s: float, peak_flops_per_s: float, devices: int = 1) -> float:
    """Share of the devices' peak that the model's own arithmetic uses; recomputation does not count as work.

    `macs_per_s` is useful work, for training `training_macs(config, batch, 1) * steps_per_s`.
    """
    if peak_flops_per_s <= 0 or devices < 1:
        raise ValueError(f"peak {peak_flops_per_s} FLOP/s on {devices} devices: both must be positive")
    return FLOPS_PER_MAC * macs_per_s / (peak_flops_per_s * devices)
