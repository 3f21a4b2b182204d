"""The data stage: which pictures there are, whether they can be trained on, and their splits."""

from __future__ import annotations

from tfedge.core.context import Context
from tfedge.data.audit import audit
from tfedge.data.sources import scan
from tfedge.inputs.images.pictures import pixel_digests, pixel_store


def run(ctx: Context) -> None:
    """Writes index.json and audit.json, and leaves every picture decoded in the pixel store.

    Raises DataError with all that is wrong with the pictures, ArtifactError for a download or disk
    that fails.
    """
    data = ctx.pipeline.data
    found = scan(data, ctx.cache, ctx.progress)
    root = found.listing.root
    files = {
        found.digests[entry.path]: root / entry.path
        for entry in found.listing.entries
        if entry.path in found.digests
    }
    store = pixel_store(ctx.cache, data.image_size, data.fit)
    pixels, bad = pixel_digests(store, files, data.fit, ctx.progress)
    index, findings = audit(found, pixels, bad, data)
    for warning in findings.warnings:
        ctx.progress.note(warning)
    counts = ", ".join(f"{sum(count.values())} {split}" for split, count in index.counts.items())
    ctx.progress.note(f"{len(index.rows)} pictures of {len(index.classes)} classes: {counts}")
    index.save(ctx.out / "index.json")
    findings.save(ctx.out / "audit.json")
