"""Maps in, nuclei out: pure functions of arrays.

`from_maps` is the way of one tile, `settle` decides between overlapping tiles.
"""
