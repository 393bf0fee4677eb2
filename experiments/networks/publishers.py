"""Where the weights of the fixed networks are to be had, in the words of messages; no network is built for that."""

VAE = "diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-ema or -mse (335 MB, 248 tensors)"

INCEPTION = "pt_inception-2015-12-05-6726825d.pth, from the releases of github.com/mseitzer/pytorch-fid"

INCEPTION_SHA256 = "6726825d"
"""First digits of the hash of pt_inception-2015-12-05-6726825d.pth, part of its name by PyTorch's rule."""

DINOV2 = "dinov2_vitl14_pretrain.pth of github.com/facebookresearch/dinov2, model.safetensors of facebook/dinov2-large"
