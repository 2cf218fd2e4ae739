"""Networks for the data sets that Lethe knows.

Each factory takes keyword arguments only and returns a plain `nn.Module` from inputs to logits, so
that a model version can name how it is built:

    factory: "lethe.models.networks:digits_cnn", kwargs: {"classes": 10}

No network needs preprocessing outside it: inputs come in the data set's own units.
"""

from collections import OrderedDict

from torch import nn

from lethe.models.resnet import resnet18_cifar

__all__ = ["cifar_cnn", "digits_cnn", "fashion_cnn", "resnet18_cifar", "watch_cnn", "wdcnn"]


def digits_cnn(*, classes: int = 10, width: int = 16) -> nn.Module:
    """A CNN for 8x8 grey images: inputs (B, 1, 8, 8) float32 in 0..1, logits (B, classes).

    Two convolutions and a 64-dimensional feature layer, after LeNet.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, width, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(2 * width),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            feature=nn.Linear(2 * width * 4 * 4, 64),
            relu3=nn.ReLU(),
            head=nn.Linear(64, classes),
        )
    )


def wdcnn(*, classes: int = 10, length: int = 1024) -> nn.Module:
    """A wide-kernel network for vibration: inputs (B, 1, length) in g, logits (B, classes).

    The first kernel is wide (64 points, stride 16) and acts as a learned filter bank; small kernels
    follow, as in Zhang et al. 2017, "A New Deep Learning Model for Fault Diagnosis with Good
    Anti-Noise and Domain Adaptation Ability on Raw Vibration Signals" (doi 10.3390/s17020425), with
    four blocks instead of five since the window is half as long. An input BatchNorm without
    parameters takes the physical unit away.
    """
    channels = 64
    return nn.Sequential(
        OrderedDict(
            scale=nn.BatchNorm1d(1, affine=False),
            block1=_block_1d(1, 16, kernel=64, stride=16, padding=24),
            block2=_block_1d(16, 32, kernel=3, padding=1),
            block3=_block_1d(32, channels, kernel=3, padding=1),
            block4=_block_1d(channels, channels, kernel=3, padding=1),
            flatten=nn.Flatten(),
            feature=nn.Linear(channels * (length // 16 // 2**4), 100),
            relu=nn.ReLU(),
            head=nn.Linear(100, classes),
        )
    )


def watch_cnn(*, classes: int = 7, channels: int = 6) -> nn.Module:
    """A CNN for wrist movement: inputs (B, channels, T) float32, logits (B, classes).

    Three blocks of convolutions over time and an average over time; the input BatchNorm without
    parameters brings accelerometer and gyroscope axes to one scale.
    """
    return nn.Sequential(
        OrderedDict(
            scale=nn.BatchNorm1d(channels, affine=False),
            block1=_block_1d(channels, 32, kernel=5, padding=2),
            block2=_block_1d(32, 64, kernel=5, padding=2),
            block3=_block_1d(64, 64, kernel=3, padding=1),
            pool=nn.AdaptiveAvgPool1d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(64, classes),
        )
    )


def fashion_cnn(*, classes: int = 10, width: int = 16) -> nn.Module:
    """A CNN for 28x28 grey images: inputs (B, 1, 28, 28) float32, logits (B, classes).

    Two convolutions and a 64-dimensional feature layer. Strides instead of pooling, so that a pass
    over 60,000 images takes seconds on a CPU. An input BatchNorm without parameters brings grey
    levels to mean 0 and variance 1.
    """
    return nn.Sequential(
        OrderedDict(
            scale=nn.BatchNorm2d(1, affine=False),
            conv1=nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
            norm1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            norm2=nn.BatchNorm2d(2 * width),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            feature=nn.Linear(2 * width * 7 * 7, 64),
            relu3=nn.ReLU(),
            head=nn.Linear(64, classes),
        )
    )


def cifar_cnn(*, classes: int = 10, width: int = 16) -> nn.Module:
    """A CNN for 32x32 colour images: inputs (B, 3, 32, 32) float32, logits (B, classes).

    For a CPU, where `resnet18_cifar` takes hours: three convolutions with strides instead of
    pooling and a 128-dimensional feature layer. An input BatchNorm without parameters brings each
    colour to mean 0 and variance 1.
    """
    return nn.Sequential(
        OrderedDict(
            scale=nn.BatchNorm2d(3, affine=False),
            block1=_block_2d(3, width),
            block2=_block_2d(width, 2 * width),
            block3=_block_2d(2 * width, 4 * width),
            flatten=nn.Flatten(),
            feature=nn.Linear(4 * width * 4 * 4, 128),
            relu=nn.ReLU(),
            head=nn.Linear(128, classes),
        )
    )


def _block_2d(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution with stride two, normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _block_1d(
    inputs: int, outputs: int, *, kernel: int, padding: int, stride: int = 1
) -> nn.Sequential:
    """Convolution, normalisation, ReLU and pooling by two."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
        nn.MaxPool1d(2),
    )
