"""What MediaPipe 0.10.21 reads in a model and answers to images, as JSON: ``MODEL PICTURE …``.

Runs in an environment that has it. An image is classified as a whole, and again with its largest
centred square as the region of interest.
"""

import json
import sys

import mediapipe
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.components.containers.rect import Rect
from mediapipe.tasks.python.metadata import metadata
from mediapipe.tasks.python.vision.core.image_processing_options import ImageProcessingOptions

path, files = sys.argv[1], sys.argv[2:]
shown = metadata.MetadataDisplayer.with_model_file(path)
options = vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=path))


def centre(width, height):
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Rect(left / width, top / height, (left + side) / width, (top + side) / height)


def scores(result):
    (head,) = result.classifications
    rows = sorted(head.categories, key=lambda row: row.index)
    return [[row.category_name, row.score] for row in rows]


answers = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for file in files:
        image = mediapipe.Image.create_from_file(file)
        region = ImageProcessingOptions(centre(image.width, image.height))
        whole = scores(classifier.classify(image))
        answers.append({"whole": whole, "centre": scores(classifier.classify(image, region))})
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
