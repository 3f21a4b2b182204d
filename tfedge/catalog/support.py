"""What ``tools/support_table.py`` found when it took each net through prune, QAT and int8.

Plain data, readable without TensorFlow or numpy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("support.json")

# The member of each family that stands for it: the one with the fewest parameters (of RegNet one
# without and one with squeeze-and-excite).
SMALLEST = (
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetLite0", "EfficientNetB0"),
    *("EfficientNetV2B0", "ResNet50", "ResNet50V2", "ResNetRS50", "DenseNet121", "InceptionV3"),
    *("InceptionResNetV2", "Xception", "NASNetMobile", "ConvNeXtTiny", "RegNetX002"),
    *("RegNetY002", "VGG16"),
)


def load() -> dict[str, dict[str, Any]]:
    """The row of each net that was run, by name; see the tool for what stands in it."""
    if not FILE.is_file():
        return {}
    rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return rows
