#!/usr/bin/env bash
# torch 2.13.0, fvcore 0.1.5.post20221221, ptflops 0.7.5, thop 0.1.1.post2209072238, torchinfo 1.8.0, on a CPU.
# A transformer's "GFLOPs" are what FLOP counters are for, yet with F.scaled_dot_product_attention none of them counts
# attention, and only fvcore says so. torch.utils.flop_counter knows the operator, but not the kernel that a CPU takes:
# the same network counted on a machine without a GPU costs less. torchinfo counts a Linear once, however many tokens pass.
# Seen, as shares of the true multiply-accumulates of 256 tokens x width 384 (a quarter of which is attention):
#   fused by_hand: FlopCounterMode 0.75 1.00, fvcore 0.75 1.00, ptflops 0.75 1.00, thop 0.75 0.75, torchinfo 0.003 0.003
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6 fvcore==0.1.5.post20221221 ptflops==0.7.5 \
  thop==0.1.1.post2209072238 torchinfo==1.8.0 2>/dev/null
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import contextlib, io
import thop, torch, torchinfo
from fvcore.nn import FlopCountAnalysis
from ptflops import get_model_complexity_info
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

TOKENS, WIDTH, HEADS = 256, 384, 6

class Attention(torch.nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.fused, self.qkv, self.out = fused, torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
    def forward(self, x):
        q, k, v = self.qkv(x).reshape(len(x), TOKENS, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(x.shape))

def counted(fused):
    net, x = Attention(fused), torch.randn(1, TOKENS, WIDTH)
    with FlopCounterMode(display=False) as mode:
        net(x)
    with contextlib.redirect_stdout(io.StringIO()):
        aten = get_model_complexity_info(net, (TOKENS, WIDTH), as_strings=False, print_per_layer_stat=False, backend="aten")
    return {"FlopCounterMode": mode.get_total_flops() / 2, "fvcore": FlopCountAnalysis(net, x).total(), "ptflops": aten[0],
            "thop": thop.profile(Attention(fused), (x,), verbose=False)[0],
            "torchinfo": torchinfo.summary(net, input_data=x, verbose=0).total_mult_adds}

true = 4 * TOKENS * WIDTH**2 + 2 * TOKENS**2 * WIDTH
fused, by_hand = ({name: n / true for name, n in counted(way).items()} for way in (True, False))
for name in fused:
    print(f"{name}: fused {fused[name]:.3f}, by hand {by_hand[name]:.3f} of the multiply-accumulates")
assert all(abs(fused[n] - 0.75) < 0.01 for n in ("FlopCounterMode", "fvcore", "ptflops", "thop"))
assert all(abs(by_hand[n] - 1) < 0.01 for n in ("FlopCounterMode", "fvcore", "ptflops")) and fused["torchinfo"] < 0.01
PY
