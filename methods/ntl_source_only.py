"""`ntl-source-only`: NTL without a target: it leaves the neighbours of its source, at five distances (baselines.md B2).

    mapbench run digits-mini -m ntl-source-only

NTL's own neighbours came from a GAN that was never published; ours are a documented substitute, see
methods/synthesis/neighbours.py. One model per source; every other domain of the suite is its target.
"""

from __future__ import annotations

from methods.base import Needs
from methods.ntl import NTL


class NTLSourceOnly(NTL):
    name = "ntl-source-only"
    needs = Needs(source="labelled", target="generated")
    inputs = ("source-neighbours",)
