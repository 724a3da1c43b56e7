"""`cuti-source-free`: CUTI's loss on what the source-free scenario has: generated source, pseudo-labelled target.

    mapbench run digits-mini -m cuti-source-free

A baseline of the source-free table (map.md U14): CUTI itself knows no such scenario. Same images as sf-map.
"""

from __future__ import annotations

from methods.cuti import CUTI
from methods.pseudo import SourceFree


class CUTISourceFree(SourceFree, CUTI):
    name = "cuti-source-free"
    cycle = 2
