"""What a file is that the decoder does not read, and how it becomes one that it does."""

from __future__ import annotations

from pathlib import PurePath

HEAD = 4096  # bytes that are looked at

# By what stands after "ftyp" in files of the ISO base media format.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
    b"crx ": "a raw file of a camera (CR3)",
    **dict.fromkeys((b"isom", b"mp41", b"mp42", b"qt  ", b"M4V ", b"3gp4", b"3gp5"), "a video"),
}
_STARTS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    *((b"P%d" % number, "a PNM file") for number in range(1, 7)),
    (b"%PDF", "PDF"),
    (b"FUJIFILM", "a raw file of a camera (RAF)"),
    (b"IIRO", "a raw file of a camera (ORF)"),
    (b"IIRS", "a raw file of a camera (ORF)"),
    (b"IIU\0", "a raw file of a camera (RW2)"),
)
_RAW = frozenset(["dng", "cr2", "cr3", "nef", "nrw", "arw", "raf", "orf", "rw2", "pef", "srw"])
_CONVERT = (
    "save what is not read as JPEG or PNG, such as with ImageMagick: magick mogrify -format jpg "
    "FILES (an iPhone takes JPEG by Settings, Camera, Formats, Most Compatible)"
)


def foreign(head: bytes, name: str) -> tuple[str, str] | None:
    """What a file is, by its first bytes, and the way out; None for what may be read or is unknown.

    The name tells a camera's raw file from other TIFF.
    """
    suffix = PurePath(name).suffix[1:].lower()
    if head.startswith(b"version https://git-lfs.github.com"):
        return "a Git LFS pointer, not the image", "fetch the images: git lfs pull"
    start = head.lstrip()[:300].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image", "download the images again"
    kind = _kind(head, start)
    if kind == "TIFF" and suffix in _RAW:
        kind = f"a raw file of a camera ({suffix.upper()})"
    if kind is None:
        return None
    return f"{kind}, which is not read", _CONVERT


def _kind(head: bytes, start: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 64), 4))]
        named = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        better = [kind for kind in named if kind != "HEIF"]
        return next(iter(better or named), None)
    if head[128:132] == b"DICM":
        return "DICOM"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "SVG"
    return next((kind for magic, kind in _STARTS if head.startswith(magic)), None)
