"""A sampler: DDPM's ancestral steps with a little less noise, which trades variety for cleaner samples."""

import jax.numpy as jnp

TEMPERATURE = 0.9


def ddpm_cool(diffusion, eta, clip):
    """The update of one step, from (output, x_t, t, noise, the clean image before) to (x_(t-1), a clean image)."""

    def update(output, x, t, noise, previous_x0):
        return diffusion.ddpm_step(output, x, t, TEMPERATURE * noise, clip=clip), jnp.zeros_like(x)

    return update
