"""The networks: each family's structure from the library whose exports people have, in its true shape and in a tiny one."""

from dataclasses import dataclass
from functools import partial
from typing import Callable

import open_clip
import timm
import torch
import torch.nn.functional as F
import transformers
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer
from timm.models.convnext import ConvNeXt
from timm.models.densenet import DenseNet
from timm.models.efficientnet import EfficientNet
from timm.models.eva import Eva
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.fastvit import FastVit, RepConditionalPosEnc
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer as TimmVit
from timm.models.vision_transformer_hybrid import ConvStem, HybridEmbed
from timm.utils.model import reparameterize_model
from torch import nn

from pictures import photographs, pictures, planes
from weights import seed

CLIP = ([122.7709, 116.7460, 104.0937], [68.5005, 66.6322, 70.3232])
HALF = ([127.5] * 3, [127.5] * 3)
IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
UNIT = ([0.0] * 3, [255.0] * 3)


@dataclass
class Family:
    build: Callable[[], nn.Module]
    side: int
    normalisation: tuple = CLIP
    width: int | None = None  # of a transformer's residual stream
    outputs: tuple = ("image_embeds",)
    # After the weights are seeded: into the form that is exported.
    finish: Callable[[nn.Module], nn.Module] = lambda network: network


def make(family, pixels):
    """The seeded network in its exported form, and `pixels`, u8 [n,side,side,3], as it reads them."""
    x = planes(pixels, *family.normalisation)
    network = family.build().eval()
    seed(network, torch.from_numpy(x), family.width)
    return family.finish(network).eval(), x


def make_full(name):
    """One of FULL. Networks with BatchNorm need photographs for it; transformers only their scale."""
    family = FULL[name]
    return make(family, pictures(6, family.side) if family.width else photographs(family.side))


def feature_of(family):
    """The name of the output that is the picture's feature."""
    return next(name for name in family.outputs if name != "last_hidden_state")


class Outputs(nn.Module):
    """A transformers model whose named outputs come as a tuple, as optimum exports them."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, pixel_values):
        outputs = self.model(pixel_values=pixel_values)
        return tuple(getattr(outputs, name) for name in self.names)


class Normalized(nn.Module):
    """open_clip's `encode_image(normalize=True)`."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return F.normalize(self.model(image), dim=-1)


def clip(
    side,
    patch,
    hidden,
    mlp,
    layers,
    heads,
    dim,
    attention="sdpa",
    outputs=("image_embeds", "last_hidden_state"),
    act="quick_gelu",
):
    def build():
        config = transformers.CLIPVisionConfig(
            hidden_size=hidden,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=side,
            patch_size=patch,
            projection_dim=dim,
            hidden_act=act,
            attn_implementation=attention,
        )
        return Outputs(transformers.CLIPVisionModelWithProjection(config), outputs)

    return Family(build, side, CLIP, hidden, outputs)


def open_clip_vit(side, patch, width, layers, heads, dim, act=QuickGELU, mlp_ratio=4.0):
    return Family(
        lambda: VisionTransformer(
            side, patch, width, layers, heads, mlp_ratio, output_dim=dim, act_layer=act, norm_layer=LayerNorm
        ),
        side,
        CLIP,
        width,
        finish=Normalized,
    )


def siglip(side, patch, hidden, mlp, layers, heads):
    outputs = ("last_hidden_state", "pooler_output")

    def build():
        config = transformers.SiglipVisionConfig(
            hidden_size=hidden,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=side,
            patch_size=patch,
            attn_implementation="sdpa",
        )
        return Outputs(transformers.SiglipVisionModel(config), outputs)

    return Family(build, side, HALF, hidden, outputs)


def dinov2(side, hidden, layers, heads, mlp_ratio=4):
    """As timm has it: position embeddings already resized to `side`, the class token's feature comes out."""

    def build():
        return timm.create_model(
            "vit_small_patch14_dinov2",
            num_classes=0,
            img_size=side,
            embed_dim=hidden,
            depth=layers,
            num_heads=heads,
            mlp_ratio=mlp_ratio,
        )

    return Family(build, side, IMAGENET, hidden, ("feature",))


def dinov2_resize(side, trained_side, hidden, layers, heads, mlp_ratio=4):
    """As transformers has it: position embeddings for `trained_side` are resized inside of the graph."""

    def build():
        config = transformers.Dinov2Config(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            mlp_ratio=mlp_ratio,
            image_size=trained_side,
            patch_size=14,
            attn_implementation="sdpa",
        )
        return Outputs(transformers.Dinov2Model(config), outputs)

    outputs = ("last_hidden_state", "pooler_output")
    return Family(build, side, IMAGENET, hidden, outputs)


def mobileclip(name, side, dim=512):
    """MobileCLIP and MobileCLIP2 S0, S1 and S2 in the form for inference: each block's branches are one convolution."""
    return Family(
        lambda: timm.create_model(name, num_classes=dim),
        side,
        UNIT,
        None,
        ("image_features",),
        finish=reparameterize_model,
    )


def tiny_mobileclip(side, dims, dim):
    def build():
        return FastVit(
            layers=(1, 1, 1, 1),
            embed_dims=dims,
            mlp_ratios=(3,) * 4,
            se_downsamples=(False, False, True, True),
            pos_embs=(None, None, None, partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
            token_mixers=("repmixer", "repmixer", "repmixer", "attention"),
            lkc_use_act=True,
            num_classes=dim,
        )

    return Family(build, side, UNIT, None, ("image_features",), finish=reparameterize_model)


def mobileclip_b(side, width, layers, heads, dim, mlp_ratio=4.0):
    """A ViT behind three convolutions."""

    def build():
        stem = ConvStem(
            channels=(width // 4, width // 4, width),
            stride=(4, 2, 2),
            kernel_size=(4, 2, 2),
            padding=0,
            act_layer=nn.GELU,
        )
        return TimmVit(
            img_size=side,
            patch_size=1,
            embed_layer=partial(HybridEmbed, backbone=stem, proj=False),
            embed_dim=width,
            depth=layers,
            num_heads=heads,
            mlp_ratio=mlp_ratio,
            no_embed_class=True,
            global_pool="token",
            num_classes=dim,
        )

    return Family(build, side, UNIT, width, ("image_features",))


def resnet(side, width, layers, heads, dim):
    return Family(lambda: ModifiedResNet(layers, dim, heads, side, width), side, CLIP)


def tiny_resnet(side, width, heads, dim):
    """Without the last stage, whose attention pooling would not be tiny."""

    def build():
        network = ModifiedResNet((1, 2, 1, 1), dim, heads, side, width)
        network.layer4 = nn.Identity()
        network.attnpool = AttentionPool2d(side // 16, width * 16, heads, dim)
        return network

    return Family(build, side, CLIP)


def mobilenet(name, side):
    return Family(lambda: timm.create_model(name, num_classes=0), side, IMAGENET, None, ("feature",))


def tiny_mobilenet(network, blocks, side, **options):
    def build():
        return network(decode_arch_def(blocks), num_classes=0, norm_layer=nn.BatchNorm2d, **options)

    return Family(build, side, IMAGENET, None, ("feature",))


class Odd(nn.Module):
    """What real networks have now and then, all of it in one."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, 4)
        self.oblong = nn.Conv2d(12, 12, (1, 5), padding=(0, 2), groups=12)
        self.dilated = nn.Conv2d(12, 16, 3, padding=2, dilation=2, groups=4)
        self.norm = nn.GroupNorm(1, 16)
        self.mix = nn.Linear(36, 36)
        self.heads = nn.Linear(16, 32)
        self.last = nn.Linear(32, 24)

    def forward(self, x):
        x = F.leaky_relu(self.oblong(self.stem(x)), 0.1)
        x = x + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = F.max_pool2d(self.dilated(x), 2, ceil_mode=True)
        x = self.norm(x)
        ghost = torch.cat([x, x.abs().sqrt() + torch.exp(-x * x)], 1)[:, 4:20]
        x = F.conv2d(torch.maximum(x, ghost), torch.full((16, 1, 3, 3), 0.1), padding=1, groups=16) + x
        tokens = x.flatten(2)  # channels, then positions: a linear layer over these
        tokens = (tokens + self.mix(tokens)).transpose(1, 2)
        a, b = self.heads(tokens)[..., 0::2], self.heads(tokens)[..., 1::2]
        turned = torch.cat([a * a.cos() - b * b.sin(), torch.minimum(a, b) / (1 + a * a)], -1)
        weights = turned.amax(-1, keepdim=True).softmax(1)
        return self.last((turned * weights).sum(1) + F.pad(turned, (1, 1)).mean(1)[:, 1:-1])


def of_timm(build, side, width=None):
    """Backbones whose operators have no int8 form everywhere: those run in float."""

    def finish(network):
        for module in network.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # the exporter cannot trace timm's fused one
        return network

    return Family(build, side, IMAGENET, width, ("feature",), finish)


FULL = {
    "vitb32": clip(224, 32, 768, 3072, 12, 12, 512),
    "vitb16": clip(224, 16, 768, 3072, 12, 12, 512),
    "vitl14": clip(224, 14, 1024, 4096, 24, 16, 768),
    "tinyclip8m": clip(224, 16, 256, 1024, 10, 4, 512),
    "siglipb16": siglip(224, 16, 768, 3072, 12, 12),
    "dinov2s14": dinov2(224, 384, 12, 6),
    "mobileclip_s0": mobileclip("fastvit_mci0", 256),
    "mobileclip_s1": mobileclip("fastvit_mci1", 256),
    "mobileclip_s2": mobileclip("fastvit_mci2", 256),
    "mobileclip_b": mobileclip_b(224, 768, 12, 12, 512),
    "rn50": resnet(224, 64, (3, 4, 6, 3), 32, 1024),
    "efficientnet_lite0": mobilenet("efficientnet_lite0", 224),
    "mobilenetv3_large": mobilenet("mobilenetv3_large_100", 224),
}

LITE = [["ds_r1_k3_s1_e1_c8"], ["ir_r2_k3_s2_e6_c12"], ["ir_r1_k5_s2_e6_c20"]]
V3 = [
    ["ds_r1_k3_s1_e1_c8_nre"],
    ["ir_r2_k3_s2_e3_c12_nre"],
    ["ir_r1_k5_s2_e3_c20_se0.25_nre"],
    ["ir_r1_k5_s1_e3_c20_se0.25"],
    ["cn_r1_k1_s1_c48"],
]
TINY = {
    "clip": clip(40, 8, 28, 76, 2, 2, 24),
    "clip_eager": clip(40, 8, 28, 76, 2, 2, 24, attention="eager"),
    "clip_gelu": clip(40, 8, 28, 76, 2, 2, 24, outputs=("image_embeds",), act="gelu"),
    "open_clip": open_clip_vit(40, 8, 28, 2, 2, 24, mlp_ratio=2.5),
    "siglip": siglip(40, 8, 28, 60, 2, 2),
    "dinov2": dinov2(42, 24, 2, 2, 2),
    "dinov2_resize": dinov2_resize(42, 70, 24, 2, 2, 2),
    "mobileclip_s": tiny_mobileclip(64, (4, 8, 16, 32), 24),
    "mobileclip_b": mobileclip_b(48, 28, 2, 2, 24, 2.5),
    "resnet": tiny_resnet(48, 4, 2, 24),
    "efficientnet_lite": tiny_mobilenet(EfficientNet, LITE, 47, num_features=48, stem_size=8, act_layer=nn.ReLU6),
    # LayerNorm in front of convolutions, depthwise kernels of 7.
    "convnext": of_timm(lambda: ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 12, 16, 24), num_classes=0), 64),
    # Grouped convolutions, squeeze-excite, maximum pooling in front.
    "regnet": of_timm(
        lambda: RegNet(
            RegNetCfg(depth=4, w0=8, wa=8.0, wm=1.4, group_size=4, se_ratio=0.25, stem_width=8), num_classes=0
        ),
        48,
    ),
    # Values put together, maximum pooling.
    "densenet": of_timm(lambda: DenseNet(growth_rate=4, block_config=(2, 2), bn_size=2, num_classes=0), 48),
    "odd": of_timm(Odd, 47),
    # Windows that move, biases of their positions between the two products of an attention.
    "swin": of_timm(
        lambda: SwinTransformer(
            img_size=48, patch_size=4, embed_dim=16, depths=(2,), num_heads=(2,), window_size=3, num_classes=0
        ),
        48,
    ),
    # Rotated queries and keys, a gated MLP.
    "eva02": of_timm(
        lambda: Eva(
            img_size=40,
            patch_size=8,
            embed_dim=24,
            depth=2,
            num_heads=2,
            mlp_ratio=2,
            swiglu_mlp=True,
            use_rot_pos_emb=True,
            ref_feat_shape=(5, 5),
            num_classes=0,
        ),
        40,
        24,
    ),
    "mobilenetv3": tiny_mobilenet(MobileNetV3, V3, 45, num_features=40, stem_size=8, act_layer=nn.Hardswish),
}
