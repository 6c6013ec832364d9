"""The science itself: what shapes results and knows nothing of the engine."""
