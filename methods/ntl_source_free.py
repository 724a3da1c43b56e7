"""`ntl-source-free`: NTL's loss on what the source-free scenario has: generated source, pseudo-labelled target.

    mapbench run digits-mini -m ntl-source-free

A baseline of the source-free table (map.md U14): NTL itself knows no such scenario. Same images as sf-map.
"""

from __future__ import annotations

from methods.ntl import NTL
from methods.pseudo import SourceFree


class NTLSourceFree(SourceFree, NTL):
    name = "ntl-source-free"
    cycle = 1
