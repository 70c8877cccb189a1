"""Which voxels are lesion: candidates, their features, the decision."""
