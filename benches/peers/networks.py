"""The CIFAR networks of the comparison, for PyTorch, after their published definitions.

ResNet: He et al. 2015, arXiv:1512.03385, section 4.2, with projection shortcuts (1x1 convolution and BatchNorm). resnet8x4 is the wide
one with a first layer of 32 and 64-128-256 after it. WRN: Zagoruyko and Komodakis 2016, arXiv:1605.07146. VGG: Simonyan and Zisserman
2014, arXiv:1409.1556, with BatchNorm and one linear layer. MobileNetV2: Sandler et al. 2018, arXiv:1801.04381, strides for 32x32 and
half width.
"""

import torch
from torch import nn
from torch.nn import functional


def convolution(wide_in, wide_out, kernel, stride=1, groups=1):
    return nn.Conv2d(wide_in, wide_out, kernel, stride, kernel // 2, groups=groups, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, wide_in, wide_out, stride):
        super().__init__()
        self.conv1, self.norm1 = convolution(wide_in, wide_out, 3, stride), nn.BatchNorm2d(wide_out)
        self.conv2, self.norm2 = convolution(wide_out, wide_out, 3), nn.BatchNorm2d(wide_out)
        self.shortcut = nn.Identity()
        if stride != 1 or wide_in != wide_out:
            self.shortcut = nn.Sequential(convolution(wide_in, wide_out, 1, stride), nn.BatchNorm2d(wide_out))

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def stack(block, per_group, widths, wide_in):
    """Three groups of blocks; the second and the third begin with stride 2."""
    blocks = []
    for group, width in enumerate(widths):
        for index in range(per_group):
            blocks.append(block(wide_in, width, 2 if group > 0 and index == 0 else 1))
            wide_in = width
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    def __init__(self, depth, widths=(16, 16, 32, 64), classes=100):
        super().__init__()
        self.conv, self.norm = convolution(3, widths[0], 3), nn.BatchNorm2d(widths[0])
        self.blocks = stack(BasicBlock, (depth - 2) // 6, widths[1:], widths[0])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):
        x = self.blocks(functional.relu(self.norm(self.conv(x)), inplace=True))
        return self.head(x.mean((2, 3)))


class PreActivation(nn.Module):
    """The block of a wide ResNet: the shortcut is a bare convolution, taken after the first activation where the width changes."""

    def __init__(self, wide_in, wide_out, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(wide_in), convolution(wide_in, wide_out, 3, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(wide_out), convolution(wide_out, wide_out, 3)
        self.shortcut = convolution(wide_in, wide_out, 1, stride) if wide_in != wide_out else None

    def forward(self, x):
        y = functional.relu(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(y)
        return x + self.conv2(functional.relu(self.norm2(self.conv1(y)), inplace=True))


class WideResNet(nn.Module):
    def __init__(self, depth, factor, classes=100):
        super().__init__()
        widths = (16 * factor, 32 * factor, 64 * factor)
        self.conv = convolution(3, 16, 3)
        self.blocks = stack(PreActivation, (depth - 4) // 6, widths, 16)
        self.norm, self.head = nn.BatchNorm2d(widths[-1]), nn.Linear(widths[-1], classes)

    def forward(self, x):
        return self.head(functional.relu(self.norm(self.blocks(self.conv(x))), inplace=True).mean((2, 3)))


class Vgg8(nn.Module):
    def __init__(self, classes=100):
        super().__init__()
        layers, wide_in = [], 3
        # Pooling follows the first three; the last two work at 4x4.
        for index, width in enumerate((64, 128, 256, 512, 512)):
            layers += [nn.Conv2d(wide_in, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if index < 3:
                layers.append(nn.MaxPool2d(2))
            wide_in = width
        self.features, self.head = nn.Sequential(*layers), nn.Linear(512, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, wide_in, wide_out, stride, expansion):
        super().__init__()
        inner = wide_in * expansion
        self.layers = nn.Sequential(
            convolution(wide_in, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            convolution(inner, inner, 3, stride, groups=inner), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            convolution(inner, wide_out, 1), nn.BatchNorm2d(wide_out),
        )  # fmt: skip
        self.residual = stride == 1 and wide_in == wide_out

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    # Expansion, width at factor 1, blocks, stride of the first.
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, factor=0.5, classes=100):
        super().__init__()
        wide_in = int(32 * factor)
        layers = [convolution(3, wide_in, 3, 2), nn.BatchNorm2d(wide_in), nn.ReLU(inplace=True)]
        for expansion, width, count, stride in self.STAGES:
            for index in range(count):
                layers.append(InvertedResidual(wide_in, int(width * factor), stride if index == 0 else 1, expansion))
                wide_in = int(width * factor)
        layers += [convolution(wide_in, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU(inplace=True)]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(1280, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Branched(nn.Module):
    """ONE (Lan, Zhu, Gong 2018, arXiv:1806.04606): a ResNet whose last group is branched, and the gate that weighs the branches' logits."""

    def __init__(self, depth, branches, classes=100):
        super().__init__()
        networks = [ResNet(depth, classes=classes) for _ in range(branches)]
        shared, count = networks[0], (depth - 2) // 6
        self.shared = nn.Sequential(shared.conv, shared.norm, nn.ReLU(inplace=True), *shared.blocks[: 2 * count])
        self.branches = nn.ModuleList(network.blocks[2 * count :] for network in networks)
        self.heads = nn.ModuleList(network.head for network in networks)
        self.gate = nn.Sequential(nn.Linear(32, branches), nn.BatchNorm1d(branches), nn.ReLU(), nn.Softmax(1))

    def forward(self, x):
        x = self.shared(x)
        logits = [head(branch(x).mean((2, 3))) for branch, head in zip(self.branches, self.heads)]
        return logits, self.gate(x.mean((2, 3)))


class Peers(nn.Module):
    """OKDDip (Chen et al. 2020, arXiv:1912.00350), network-based: peers, a leader, and the attention by which peers mix one another's logits."""

    def __init__(self, depth, members):
        super().__init__()
        self.members = nn.ModuleList(ResNet(depth) for _ in range(members))
        self.query, self.key = nn.Linear(64, 8, bias=False), nn.Linear(64, 8, bias=False)

    def forward(self, x):
        features, logits = [], []
        for member in self.members:
            y = functional.relu(member.norm(member.conv(x)), inplace=True)
            features.append(member.blocks(y).mean((2, 3)))
            logits.append(member.head(features[-1]))
        peers = torch.stack(features[:-1], 1)
        attention = torch.softmax(self.query(peers) @ self.key(peers).transpose(1, 2), 2)
        return logits, attention


BUILDERS = {
    "resnet20": lambda: ResNet(20),
    "resnet32": lambda: ResNet(32),
    "resnet56": lambda: ResNet(56),
    "resnet8x4": lambda: ResNet(8, (32, 64, 128, 256)),
    "wrn-16-2": lambda: WideResNet(16, 2),
    "wrn-40-2": lambda: WideResNet(40, 2),
    "vgg8": Vgg8,
    "mobilenetv2": MobileNetV2,
}
# Parameters with 100 classes, as published.
PARAMETERS = {
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet56": 861_620,
    "resnet8x4": 1_233_540,
    "wrn-16-2": 703_284,
    "wrn-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "mobilenetv2": 812_836,
}


def initialised(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def build(name):
    """The network, initialised as the reference code does, after a check of its size."""
    network = initialised(BUILDERS[name]())
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != PARAMETERS[name]:
        raise AssertionError(f"{name} has {count} parameters, expected {PARAMETERS[name]}")
    return network


if __name__ == "__main__":
    for name in BUILDERS:
        print(name, sum(parameter.numel() for parameter in build(name).parameters()), tuple(build(name)(torch.zeros(2, 3, 32, 32)).shape))
