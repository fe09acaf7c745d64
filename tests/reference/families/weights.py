"""Seeded weights at the scale of trained ones, with the outlier channels that trained transformers have."""

import math

import torch
from torch import nn

# One outlier channel for so many channels of the residual stream, but at least one.
CHANNELS_PER_OUTLIER = 192
# An outlier channel beside the median channel. Public CLIP encoders show 20 to 50.
OUTLIER_RATIO = (20.0, 50.0)
# What a layer makes of an outlier: trained weights read these channels with small factors, or all
# pictures would look the same.
OUTLIER_WEIGHT = 0.05
# A block's share of the residual stream of a network of convolutions: as in trained ones, a small step.
RESIDUAL = 0.3
LAST_NORMS = ("post_layernorm.weight", "ln_post.weight", "model.layernorm.weight")


@torch.no_grad()
def seed(network, pixels, width=None):
    """Fills `network` and, where it has BatchNorm, lets that learn its statistics from `pixels`, f32 [n,3,h,w].

    `width` is the width of the residual stream of a transformer; None for a network of convolutions.
    """
    random = torch.Generator().manual_seed(20261125)

    def normal(like, std, mean=0.0):
        return torch.randn(like.shape, generator=random) * std + mean

    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            std = gain(name, module, width) / math.sqrt(module.weight[0].numel())
            module.weight.copy_(normal(module.weight, std))
            if module.bias is not None:
                module.bias.copy_(normal(module.bias, 0.03))
        elif isinstance(module, nn.MultiheadAttention):
            module.in_proj_weight.copy_(normal(module.in_proj_weight, 1.2 / math.sqrt(module.embed_dim)))
            module.in_proj_bias.copy_(normal(module.in_proj_bias, 0.05))
        elif isinstance(module, nn.LayerNorm):
            module.weight.copy_(normal(module.weight, 0.2, 1.0))
            module.bias.copy_(normal(module.bias, 0.02))
        elif isinstance(module, nn.BatchNorm2d):
            size = RESIDUAL if name.endswith("bn3") else 1.0  # the last of a block
            module.weight.copy_(size * normal(module.weight, 0.25).exp())
            module.bias.copy_(normal(module.bias, 0.3))
    for name, parameter in network.named_parameters():
        last = name.split(".")[-1]
        if "pos" in last or "position" in name:
            parameter.copy_(normal(parameter, 0.3))
        elif last in ("class_embedding", "cls_token", "probe", "mask_token"):
            parameter.copy_(normal(parameter, 0.3))
        elif last in ("gamma", "lambda1"):  # LayerScale
            parameter.copy_(torch.rand(parameter.shape, generator=random) * 0.8 + 0.2)
        elif last == "proj":  # open_clip's projection, [width, dimensions]
            parameter.copy_(normal(parameter, 1 / math.sqrt(parameter.shape[0])))
    learn_batch_norm(network, pixels)
    if width:
        add_outliers(network, width, stream_size(network, pixels, width), random)


def gain(name, layer, width):
    """Of a layer's output over its input."""
    if width and isinstance(layer, nn.Conv2d):
        return 2.0  # patches: a token has more of the picture than of its position
    if name.endswith(("q_proj", "k_proj")):
        return 1.5 if width else 0.5  # attention prefers some tokens; without LayerNorm in front the input is larger
    return 0.5 if width and name.endswith(("out_proj", "o_proj", "fc2", "c_proj")) else 1.0


def learn_batch_norm(network, pixels):
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    network.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    network(pixels)
    network.eval()


def stream_size(network, pixels, width):
    """Root mean square of the median channel where the residual stream begins."""
    found = []
    norm = next(m for m in network.modules() if isinstance(m, nn.LayerNorm) and m.normalized_shape == (width,))
    hook = norm.register_forward_hook(
        lambda _, inputs, __: found.append(inputs[0].square().mean((0, 1)).sqrt().median())
    )
    network(pixels)
    hook.remove()
    return found[0]


def add_outliers(network, width, stream, random):
    """A few channels of the residual stream become OUTLIER_RATIO times the others, in every token and block."""
    count = max(1, width // CHANNELS_PER_OUTLIER)
    channels = torch.randperm(width, generator=random)[:count]
    low, high = OUTLIER_RATIO
    size = torch.rand(count, generator=random) * (high - low) + low
    size *= stream * torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    for name, parameter in network.named_parameters():
        last = name.split(".")[-2:]
        if parameter.shape[-1:] == (width,) and ("pos" in last[-1] or "position" in name):
            jitter = 1 + 0.2 * torch.randn((*parameter.shape[:-1], count), generator=random)
            parameter[..., channels] = size * jitter
        elif last[-1] == "in_proj_weight" or (last[-1] == "weight" and reads_stream(last[0], parameter, width)):
            parameter[:, channels] *= OUTLIER_WEIGHT
        elif name == "norm.weight" or name.endswith(LAST_NORMS):
            parameter[channels] *= OUTLIER_WEIGHT
        elif name.endswith(("fc2.bias", "c_proj.bias")):  # the others grow from block to block
            parameter[channels] += 0.02 * size


def reads_stream(layer, weight, width):
    return weight.dim() == 2 and weight.shape[1] == width and layer not in ("out_proj", "o_proj", "proj")
