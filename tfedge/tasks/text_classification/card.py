"""What the model card of a text classifier says beside what every card says."""

from __future__ import annotations

from tfedge.data.kind import TEXTS
from tfedge.portable.tokenizers import TOKENIZERS
from tfedge.tasks.audited import count_table
from tfedge.tasks.blocks import cell
from tfedge.tasks.classification.card import metrics
from tfedge.tasks.drop import Card, Content
from tfedge.tasks.text_classification.android import told_of_mediapipe


def card(content: Content) -> Card:
    given, taken, classes = content.given, content.taken, content.facts["classes"]
    kind = TOKENIZERS[given["tokenizer"]]
    files = " and ".join(f"`{given[key]}`" for key in kind.files)
    marks = ", its two marks among them" if kind.marks else ""
    length, names = given["shape"][2], ", ".join(map(cell, classes))
    scale = f", times {taken['scale']:g}" if taken["scale"] else ""
    return Card(
        use=f"Says of which of {len(classes)} classes a text is: {names}.",
        given=f"`ids` and `mask`, `{given['dtype']}` [1, {length}] each: the first {length} pieces "
        f"of a text by {given['tokenizer']} with {files}{marks}; what follows is not "
        f"read.{_unread(content)}",
        taken=f"a score for each class, `{taken['dtype']}` {taken['shape']}{scale}.",
        data=[count_table(classes, content.data["counts"])],
        metrics=metrics(content.metrics, TEXTS) if content.metrics is not None else [],
        limits=[
            "It answers with one of its classes whatever the text is about, in any language.",
            "Its encoder was trained on English texts, and has read what people wrote on the web.",
            "Measured on texts from the same source as its training; others may be harder.",
            *_by_mediapipe(content),
        ],
    )


def _unread(content: Content) -> str:
    """Of inputs that were added to the measured file."""
    names = ", ".join(f"`{name}`" for name in content.given.get("unread", ()))
    if not names:
        return ""
    sha256 = content.facts["measured"]["sha256"]
    return (
        f" No op reads {names}, which MediaPipe asks for: it was added in front of the file that "
        f"was measured, all bytes of which are in this one as they were (SHA-256 `{sha256}`)."
    )


def _by_mediapipe(content: Content) -> list[str]:
    facts = content.facts.get("mediapipe")
    return [] if facts is None else [told_of_mediapipe(facts, content.given["lower"])]
