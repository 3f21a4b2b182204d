"""What MediaPipe 0.10.21 reads in a model and finds on images, as JSON: ``MODEL LEAST PICTURE …``.

Runs in an environment that has it. ``LEAST`` is the lowest score of a box. A box is left, top,
width and height in pixels, its best score and that one's class.
"""

import json
import sys

import mediapipe
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.metadata import metadata
from mediapipe.tasks.python.metadata.metadata_writers import object_detector

path, least, files = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
shown = metadata.MetadataDisplayer.with_model_file(path)
options = vision.ObjectDetectorOptions(
    base_options=tasks.BaseOptions(model_asset_path=path), max_results=100, score_threshold=least
)


def boxes(result):
    found = []
    for one in result.detections:
        box, best = one.bounding_box, one.categories[0]
        sides = [box.origin_x, box.origin_y, box.width, box.height]
        found.append([*sides, best.score, best.category_name])
    return found


with vision.ObjectDetector.create_from_options(options) as detector:
    answers = [boxes(detector.detect(mediapipe.Image.create_from_file(file))) for file in files]
print(
    json.dumps(
        {
            "metadata": json.loads(object_detector.convert_to_json(shown.get_metadata_buffer())),
            "files": {
                name: shown.get_associated_file_buffer(name).decode()
                for name in shown.get_packed_associated_file_list()
            },
            "answers": answers,
        }
    )
)
