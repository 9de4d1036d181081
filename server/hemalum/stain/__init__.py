"""Stains of H&E pictures: what they are, how to show a picture in another's stain, how to take them apart.

Optical density is −log10 of transmitted ÷ background, as in QuPath.  A *stain matrix* has two unit rows, haematoxylin
and eosin, of optical densities for red, green, blue.  A normalization is a function of colour alone, fixed for an image
and carried by a *colour table*: it is seamless and cannot invent nuclei.

>>> import numpy as np
>>> from hemalum.stain.estimation import REFERENCE, estimate, unmix
>>> from hemalum.stain.table import apply_table, colour_table
>>> from hemalum.stain.tissue import tissue_mask
>>> picture = np.full((64, 64, 3), 240, np.uint8)
>>> picture[:40, :40], picture[10:20, 10:20] = (215, 130, 185), (90, 60, 140)
>>> stain = estimate(picture, tissue_mask(picture), "macenko")
>>> table = colour_table(stain, REFERENCE)
>>> table.shape, apply_table(picture, table)[63, 63].tolist()
((33, 33, 33, 3), [240, 240, 240])
>>> unmix(picture, stain.matrix, stain.background).shape
(64, 64, 2)
"""

METHODS = ("macenko", "vahadane", "reinhard", "learned", "none")  # how a stain is found and matched
