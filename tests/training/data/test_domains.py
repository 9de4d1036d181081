"""Which images are domain Y, and how densities are matched between X and Y."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="the extra `training` is not installed")

from hemalum.errors import UsageError
from hemalum.stain.estimation import REFERENCE
from hemalum_training.data.domains import Domains, choose_target, match_density, nuclear_density

from ..conftest import drawn_tile

BLUE = dataclasses.replace(REFERENCE, method="macenko", matrix=((0.80, 0.55, 0.24), (0.30, 0.90, 0.32)))
CLEAR = dataclasses.replace(REFERENCE, method="macenko")
DARK = dataclasses.replace(CLEAR, background=(150, 150, 150), maxima=(1.6, 0.9))


def varied(stain, count: int, seed: int):
    """Copies of a stain as they are estimated on several images: a little apart."""
    rng = np.random.default_rng(seed)
    matrices = np.array(stain.matrix) + rng.normal(0, 0.01, (count, 2, 3))
    return [dataclasses.replace(stain, matrix=tuple(map(tuple, matrix))) for matrix in matrices.tolist()]


def collection():
    groups = {"clear": varied(CLEAR, 6, 1), "blue": varied(BLUE, 6, 2), "dark": varied(DARK, 6, 3)}
    return {f"{name}{i}": stain for name, stains in groups.items() for i, stain in enumerate(stains)}


def test_y_is_the_one_stain_nearest_to_the_reference():
    stains = collection()
    domains = choose_target(stains, 3)
    assert {name for name, stain in stains.items() if domains.of(stain) == "Y"} == {f"clear{i}" for i in range(6)}
    assert domains.reference in stains.values() and "6 of 18" in domains.rule


def test_a_named_reference_makes_its_stain_y():
    stains = collection()
    domains = choose_target(stains, 3, ["blue3"])
    assert {name for name, stain in stains.items() if domains.of(stain) == "Y"} == {f"blue{i}" for i in range(6)}
    assert domains.reference == stains["blue3"]


def test_an_image_without_a_stain_is_x_and_decides_nothing():
    stains = collection()
    unclear = dataclasses.replace(CLEAR, note="too little tissue")
    domains = choose_target(stains | {"glass": unclear}, 3)
    assert domains.of(unclear) == "X"
    with pytest.raises(UsageError, match="add images"):
        choose_target({"glass": unclear}, 3)
    with pytest.raises(UsageError, match="name another"):
        choose_target(stains | {"glass": unclear}, 3, ["glass"])


def test_images_all_alike_make_one_domain_and_a_record_says_the_same():
    domains = choose_target({str(i): CLEAR for i in range(5)}, 3)
    again = Domains.from_record(domains.record())
    assert domains.of(CLEAR) == again.of(CLEAR) == "Y" and again.reference == domains.reference


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("XY")), min_size=2, max_size=80), st.integers(1, 6))
def test_both_domains_draw_each_density_equally_often(tiles, bins):
    density, domain = np.array([d for d, _ in tiles]), np.array([n for _, n in tiles])
    weights = match_density(density, domain, bins)
    assert (weights >= 0).all()
    if len(set(domain)) < 2:
        assert np.allclose(weights, 1 / len(tiles))
        return
    x, y = (weights[domain == n].sum() for n in "XY")
    assert np.isclose(x, 1) and np.isclose(y, 1)
    for count in range(bins, 0, -1):       # as many strata as both domains have tiles for
        edges = np.unique(np.quantile(density, np.linspace(0, 1, count + 1)[1:-1]))
        stratum = np.searchsorted(edges, density)
        if set(stratum[domain == "X"]) & set(stratum[domain == "Y"]):
            break
    x, y = (np.bincount(stratum[domain == n], weights[domain == n], bins) for n in "XY")
    assert np.allclose(x, y)


def test_matched_densities_have_one_mean_where_the_tiles_have_two():
    rng = np.random.default_rng(4)
    density = np.concatenate([rng.beta(2, 5, 400), rng.beta(4, 5, 300)])
    domain = np.repeat(["X", "Y"], [400, 300])
    weights = match_density(density, domain, 5)
    before = density[400:].mean() - density[:400].mean()
    after = (weights * density)[400:].sum() - (weights * density)[:400].sum()
    assert before > 0.1 and abs(after) < 0.02


def test_nuclear_density_follows_the_nuclei():
    from hemalum.stain.estimation import estimate
    from hemalum.stain.tissue import tissue_mask

    tiles = [drawn_tile(5, nuclei=count) for count in (2, 8, 16)]
    stain = estimate(tiles[2][0], tissue_mask(tiles[2][0]))
    found = [nuclear_density(pixels, stain) for pixels, _ in tiles]
    assert found == pytest.approx([(labels > 0).mean() for _, labels in tiles], abs=0.03)
