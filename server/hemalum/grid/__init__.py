"""Which square of which pixels: the tiles of a run (`tiling`) and the pixels of a tile (`resample`)."""
