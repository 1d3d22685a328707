"""The HTTP service: what `oneshot serve` runs."""
