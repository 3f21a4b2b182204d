"""tfedge: from a folder of photos to a verified, measured, deployable int8 model."""

__version__ = "0.1.0"
