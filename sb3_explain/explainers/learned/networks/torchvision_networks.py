"""The segmentation networks of torchvision (extra ``vision``), with the one of VisionMask."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import EMPTY

#: names of torchvision's ImageNet weights of the ResNet-50
WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_V2")


def torchvision_models() -> Any:
    """Import ``torchvision.models``.

    :raises ExplainError: if torchvision is missing, or made for another torch
    """
    try:
        importlib.import_module("torchvision.models.segmentation")
        return importlib.import_module("torchvision.models")
    except Exception as error:  # a torchvision made for another torch fails in any way
        raise ExplainError(
            f"this mask network needs torchvision, which does not import ({error}): install the "
            "extra 'vision', with the torchvision that was made for your torch"
        ) from error


class TorchvisionNetwork(nn.Module):
    """A segmentation network on a ResNet-50, whose masks are upsampled bilinearly to the image.

    :param n_in: number of channels of the image
    :param n_out: number of masks
    :param weights: pretrained weights of the ResNet-50, which torchvision downloads:
        ``"IMAGENET1K_V1"`` or ``"IMAGENET1K_V2"``; random when not given
    :param bias: initial logit of every mask
    :raises ExplainError: if torchvision does not import, or has no such weights
    """

    #: name of torchvision's function that builds the network
    builder: ClassVar[str]

    def __init__(
        self, n_in: int, n_out: int, weights: str | None = None, bias: float = EMPTY
    ) -> None:
        super().__init__()
        if weights is not None and weights not in WEIGHTS:
            raise unknown_name("weights of a ResNet-50", weights, WEIGHTS)
        models = torchvision_models()
        build = getattr(models.segmentation, self.builder)
        self.model = build(weights=None, weights_backbone=None, num_classes=n_out)
        backbone = self.model.backbone
        if weights is not None:
            # torchvision's own loading would unpickle any object
            learned = models.ResNet50_Weights[weights].get_state_dict(
                check_hash=True, weights_only=True
            )
            backbone.load_state_dict({name: learned[name] for name in backbone.state_dict()})
        first = backbone.conv1
        backbone.conv1 = nn.Conv2d(n_in, first.out_channels, 7, stride=2, padding=3, bias=False)
        if weights is not None:
            with torch.no_grad():
                backbone.conv1.weight.copy_(spread_kernels(first.weight, n_in))
        head = self.model.classifier
        for module in list(head.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):  # a resumed training could not repeat it
                    setattr(module, name, nn.Identity())
        nn.init.constant_(head[-1].bias, bias)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, n_in, H, W) into logits (B, n_out, H, W)."""
        logits: Tensor = self.model(images)["out"]
        return logits


def spread_kernels(rgb: Tensor, n_in: int) -> Tensor:
    """Spread RGB kernels over ``n_in`` channels, with the same response to a gray image.

    :param rgb: (C, 3, k, k) kernels
    :param n_in: number of channels; a multiple of 3 means RGB frames, any other number gray ones
    :return: (C, n_in, k, k) kernels
    """
    colors = rgb if n_in % 3 == 0 else rgb.mean(dim=1, keepdim=True)
    return colors.repeat(1, n_in // colors.shape[1], 1, 1) * (3 / n_in)


@NETWORKS.register("deeplabv3_resnet50")
class DeepLabv3(TorchvisionNetwork):
    """DeepLabv3 on a ResNet-50 (Chen et al., 2017), VisionMask's; needs the extra ``vision``."""

    builder = "deeplabv3_resnet50"


@NETWORKS.register("fcn_resnet50")
class FCN(TorchvisionNetwork):
    """FCN on a ResNet-50 (Long et al., 2015); needs the extra ``vision``."""

    builder = "fcn_resnet50"
