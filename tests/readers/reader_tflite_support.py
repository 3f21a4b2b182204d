"""What tflite-support 0.4.4 reads in a model, as JSON: ``MODEL PLAIN``.

Runs in an environment that has it. PLAIN is the model without metadata: into it the official writer
puts what was read, and checks it on the way.
"""

import json
import sys
from pathlib import Path

from tflite_support import metadata

given, plain = (Path(path).read_bytes() for path in sys.argv[1:])
shown = metadata.MetadataDisplayer.with_model_buffer(given)
names = shown.get_packed_associated_file_list()
writer = metadata.MetadataPopulator.with_model_buffer(plain)
writer.load_metadata_buffer(metadata.get_metadata_buffer(given))
writer.load_associated_file_buffers({n: shown.get_associated_file_buffer(n) for n in names})
writer.populate()
again = metadata.MetadataDisplayer.with_model_buffer(bytes(writer.get_model_buffer()))
print(
    json.dumps(
        {
            "metadata": json.loads(shown.get_metadata_json()),
            "files": {name: shown.get_associated_file_buffer(name).decode() for name in names},
            "rewritten": json.loads(again.get_metadata_json()),
        }
    )
)
