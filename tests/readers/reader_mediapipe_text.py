"""What MediaPipe 0.10.21 reads in a model and answers to texts, as JSON: ``MODEL TEXTS``, the
second a file with a JSON list. Runs in an environment that has it. An answer is the classes' names
and scores in their order.
"""

import json
import sys
from pathlib import Path

from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import text
from mediapipe.tasks.python.metadata import metadata

path, texts = sys.argv[1], json.loads(Path(sys.argv[2]).read_text("utf-8"))
shown = metadata.MetadataDisplayer.with_model_file(path)
options = text.TextClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=path))


def scores(result):
    (head,) = result.classifications
    rows = sorted(head.categories, key=lambda row: row.index)
    return [[row.category_name, row.score] for row in rows]


with text.TextClassifier.create_from_options(options) as classifier:
    answers = [scores(classifier.classify(one)) for one in texts]
print(
    json.dumps(
        {
            "metadata": json.loads(shown.get_metadata_json()),
            "files": {
                name: shown.get_associated_file_buffer(name).decode()
                for name in shown.get_packed_associated_file_list()
            },
            "answers": answers,
        }
    )
)
