"""Stable Diffusion's autoencoder, between images and the latents that large models are trained on."""
