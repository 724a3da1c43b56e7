"""The controls that train, in the scenarios with less data: what stands in for it is what the methods there have too.

    mapbench run digits-mini -m uniform-source-free -m constant-data-free -m gate-source-only

The losses are those of uniform.py, constant.py, gate.py and continue_.py; the mask controls have forms of their own in
masks.py. `continue-data-free` says what training on generated images costs the source all by itself.
"""

from __future__ import annotations

from typing import ClassVar

from methods.base import Needs
from methods.controls.constant import Constant
from methods.controls.continue_ import Continue
from methods.controls.gate import Gate
from methods.controls.uniform import Uniform
from methods.df_map import DFMap
from methods.ntl_source_only import NTLSourceOnly
from methods.pseudo import SourceFree


class SourceOnly:
    """Mixin: the target is neighbours of the source."""

    needs: ClassVar[Needs] = NTLSourceOnly.needs
    inputs: ClassVar[tuple[str, ...]] = NTLSourceOnly.inputs


class DataFree:
    """Mixin: the source is generated, the target its neighbours."""

    needs: ClassVar[Needs] = DFMap.needs
    inputs: ClassVar[tuple[str, ...]] = DFMap.inputs


class UniformSourceOnly(SourceOnly, Uniform):
    name = "uniform-source-only"


class UniformSourceFree(SourceFree, Uniform):
    name = "uniform-source-free"
    cycle = 1


class UniformDataFree(DataFree, Uniform):
    name = "uniform-data-free"


class ConstantSourceOnly(SourceOnly, Constant):
    name = "constant-source-only"


class ConstantSourceFree(SourceFree, Constant):
    name = "constant-source-free"
    cycle = 1


class ConstantDataFree(DataFree, Constant):
    name = "constant-data-free"


class GateSourceOnly(SourceOnly, Gate):
    name = "gate-source-only"


class GateSourceFree(SourceFree, Gate):
    name = "gate-source-free"
    cycle = 1


class GateDataFree(DataFree, Gate):
    name = "gate-data-free"


class ContinueDataFree(Continue):
    name = "continue-data-free"
    needs = Needs(source="generated", target="none")
    inputs = SourceFree.inputs
