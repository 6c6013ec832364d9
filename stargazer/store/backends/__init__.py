"""Where a store keeps its files: a local disk, an object store."""
