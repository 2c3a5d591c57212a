"""The fake Flux: flux-core 0.88.0 with its simple scheduler, as captured in tests/data/flux."""
