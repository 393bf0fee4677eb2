"""Training data: the contract, the digits that ship with a package, image folders, and latents of them."""
