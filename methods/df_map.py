"""DF-MAP, data-free mask pruning: SA-MAP's mask, trained on generated source images and their generated neighbours.

    mapbench run digits-mini -m df-map

A re-implementation from the public description of MAP (Peng et al., CVPR 2024), whose body was not available to us.
L = CE(p_t(x_s'), y_s') - min(lambda CE(p_t(x_n), y_s'), alpha), x_n = D(x_s') with its label kept, is map.md 6. One
model per source; every other domain of the suite is its target. The mask and `distill` are sa_map.py's and sf_map.py's.
"""

from __future__ import annotations

from methods.base import Needs
from methods.sf_map import Distilled


class DFMap(Distilled):
    name = "df-map"
    needs = Needs(source="generated", target="generated")
    inputs = ("source-generator", "diversity-generator")
