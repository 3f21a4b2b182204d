"""Which files know image classification, beside its own folder.

``python tests/contract/test_task_words.py`` names them.
"""

from __future__ import annotations

import re
from pathlib import Path

TFEDGE = Path(__file__).parents[2] / "tfedge"

# What only a classifier of images has: its answers, its measures, its file of labels, its name.
WORDS = re.compile(
    r"\b([Tt]op[-_]?1\w*|top_k|[Ss]oftmax|one[-_]hot|confusion|labels\.txt|image[-_ ]classif\w*)\b"
)
# Learning to tell classes apart is the same whatever the examples are: text will use it, too.
SHARED = {"modeling/training/classes.py", "modeling/training/logistic.py"}
# What a piece of text attends to are shares, by a softmax, whatever the task is.
SHARED |= {
    "modeling/nets/encoder.py",
    "modeling/nets/transformer.py",
    "modeling/compression/quantize_configs.py",
}

# The folders of classifiers, and what these have in common.
OWN = ("tasks/classification/", "tasks/image_classification/", "tasks/text_classification/")

KNOWN = {
    "api.py": "evaluate, of a file and a folder of images",
    "benchmark/script/answers.py": "the device script's --accuracy and --golden",
    "tasks/table.py": "the table of tasks",
}


def knowing() -> dict[str, list[str]]:
    """The files, each with its words."""
    found = {}
    for file in sorted(TFEDGE.rglob("*.py")):
        name = file.relative_to(TFEDGE).as_posix()
        words = sorted({match[0] for match in WORDS.finditer(file.read_text(encoding="utf-8"))})
        if words and name not in SHARED and not name.startswith(OWN):
            found[name] = words
    return found


def test_three_files_know_classification_outside_of_its_folders() -> None:
    assert set(knowing()) == set(KNOWN)


if __name__ == "__main__":
    for name, words in knowing().items():
        print(f"{name}: {', '.join(words)}")
