"""Policy as files: reading, building, signing, fetching and layering bundles."""
