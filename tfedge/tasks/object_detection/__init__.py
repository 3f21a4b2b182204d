"""Object detection: what is where on an image."""
