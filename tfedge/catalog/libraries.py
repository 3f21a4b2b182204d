"""The libraries that tfedge needs, in three parts, with the versions that it was tried with.

Imports nothing, so that a message about what is missing needs nothing that may be missing.
"""

from __future__ import annotations

# Distribution to version specifier. `pip install tfedge` brings these:
LIGHT = {
    "ai-edge-litert": ">=2.3,<3",
    "click": ">=8.1",
    "flatbuffers": ">=24.3",
    "jinja2": ">=3.1",
    "markdown-it-py": ">=3",
    "markupsafe": ">=2",
    "matplotlib": ">=3.10",
    "numpy": ">=1.26,<3",
    "packaging": ">=22",
    "pillow": ">=10.3",
    "pydantic": ">=2.7,<3",
    "pyyaml": ">=6.0",
    "requests": ">=2.31",
    "rich": ">=13",
    "urllib3": ">=1.26",
}

# and `pip install 'tfedge[train]'` these, too:
TRAIN = {
    "h5py": ">=3.11",
    "pip": "",
    "safetensors": ">=0.4",
    "scikit-learn": ">=1.4",
    "tensorflow": "==2.21.*",
    "tensorflow-model-optimization": "==0.8.1",
    "tf-keras": "==2.21.*",
    "threadpoolctl": ">=3.1",
}

# and `pip install 'tfedge[detection]'` these, for boxes:
DETECTION = {
    "defusedxml": ">=0.7",
    "pycocotools": ">=2.0.7",
}

INSTALL_LIGHT = "pip install tfedge"
INSTALL_TRAIN = "pip install 'tfedge[train]'"
INSTALL_DETECTION = "pip install 'tfedge[detection]'"

# Names under which they are imported, where these are not the distribution's with underscores.
_IMPORTED_AS = {
    "markdown-it-py": "markdown_it",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
MODULES = {
    _IMPORTED_AS.get(name, name.replace("-", "_")): name for name in (*LIGHT, *TRAIN, *DETECTION)
}
