"""Measuring samples: feature networks, their statistics and references, and every score made of them."""
