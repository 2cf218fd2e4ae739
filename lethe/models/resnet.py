"""ResNet-18 for small pictures.

Named as `lethe.models.networks:resnet18_cifar`; this file only keeps its blocks together.
"""

from collections import OrderedDict

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is passed on (He et al. 2016, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The rectified sum of body and shortcut."""
        out: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return out


def resnet18_cifar(*, classes: int = 10, channels: int = 3, width: int = 64) -> nn.Module:
    """ResNet-18 for 32x32 images: inputs (B, channels, 32, 32) float32, logits (B, classes).

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016
    (arXiv 1512.03385), table 1, with the first convolution 3x3 without stride or pooling instead of
    7x7 with both, as usual for CIFAR-10. Features have 8 * `width` dimensions. An input BatchNorm
    without parameters brings each colour to mean 0 and variance 1.
    """
    return nn.Sequential(
        OrderedDict(
            scale=nn.BatchNorm2d(channels, affine=False),
            conv=nn.Conv2d(channels, width, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            stage1=_stage(width, width, stride=1),
            stage2=_stage(width, 2 * width, stride=2),
            stage3=_stage(2 * width, 4 * width, stride=2),
            stage4=_stage(4 * width, 8 * width, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(8 * width, classes),
        )
    )


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), ResidualBlock(outputs, outputs, 1))
