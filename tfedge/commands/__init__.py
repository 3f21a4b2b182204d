"""Commands that have a file each: ``tfedge NAME`` is ``command`` in ``commands/NAME.py``.

The line of help stands here, so that ``tfedge --help`` needs none of those files.
"""

LAZY = {
    "backbones": "List the backbones: sizes, cost, weights, blocks.",
    "bench": "Measure models on this machine, over ssh or over adb.",
    "cache": "Show what the cache holds, or take out what is old.",
    "clean": "Free space: old and left over things of the cache and of runs.",
    "compare": "Set runs side by side: accuracy, size, latency, keys.",
    "completion": "Print what makes a shell complete tfedge's commands.",
    "devices": "Look whether devices are ready to be measured on.",
    "doctor": "Say what this machine has for tfedge, and what it lacks.",
    "evaluate": "Measure a model on labelled images or texts.",
    "init": "Write a first pipeline file for a folder of examples.",
    "inspect": "Show what is in a .tflite: ops, zeros, cost, Edge TPU mapping.",
    "package": "Take the drops out of a finished run.",
    "predict": "Ask a model about images or texts.",
    "report": "Write the report of a run anew, as a page or as Markdown.",
    "runs": "List the runs in a folder.",
    "schema": "Explain the keys of a pipeline file, or print JSON Schema.",
    "show": "Print the summary of a run again.",
    "template": "Print a pipeline file to begin with.",
    "verify": "Check a drop: digests, contract, labels, golden pairs.",
}
