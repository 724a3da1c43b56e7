"""Where slots are made: k on every GPU of a node where the cluster has any, else one per core.

    mapbench run digits-mini --slots-per-gpu auto

`auto` takes as many as the device's memory holds of the largest cell that was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.executors import memory


@dataclass(frozen=True)
class Place:
    """Where a slot is to be made: a node, what of its resources the slot takes, and its part of the memory."""

    node: str
    needs: dict[str, Any]
    share: memory.Share


def places(ray: Any, node: dict[str, Any], graphic: bool, options: dict[str, Any]) -> list[Place]:
    """The slots of one of `ray.nodes()`, by the options of RayExecutor. `graphic`: there are GPUs in the cluster, and
    nothing else works then."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name, resources = node["NodeID"], node["Resources"]
    gpus = int(resources.get("GPU", 0)) if options["gpus"] is None else options["gpus"]
    cpus = int(options["cpus"] or resources.get("CPU", 0))
    here: dict[str, Any] = {"scheduling_strategy": NodeAffinitySchedulingStrategy(name, soft=False)}
    if graphic:
        share = options["slots_per_gpu"] or (_fitting(ray, here, cpus / gpus, options["peak_mb"]) if gpus else 1)
        # rounded down to Ray's precision, or the last slot of a GPU would wait for ever
        needs = here | {"num_cpus": 0, "num_gpus": 10_000 // share / 10_000}
        return [Place(name, needs, memory.Share(share))] * gpus * share
    limit = options["memory_mb"] or max(2048, int(resources.get("memory", 0) / max(cpus, 1) / 2**20))
    return [Place(name, here | {"num_cpus": 1}, memory.Share(cpus, limit))] * cpus


def waiting(ray: Any) -> str:
    """Why no slot is up: for all that can be seen, the cluster is in use or has no workers yet."""
    there, free = ray.cluster_resources(), ray.available_resources()
    kind = "GPU" if there.get("GPU") else "CPU"
    what = f"{free.get(kind, 0):g} of the cluster's {there.get(kind, 0):g} {kind}s are free"
    return f"no worker is up yet, {what}: waiting for other runs to end or for nodes to join"


def _fitting(ray: Any, here: dict[str, Any], cores: float, peak_mb: float | None) -> int:
    """How many cells a GPU of a node takes; its memory is asked of nvidia-smi there."""
    if peak_mb is None:
        return 1
    ask = ray.remote(memory.smallest_gpu).options(num_cpus=0, max_retries=0, **here)
    return memory.fitting(peak_mb, ray.get(ask.remote()), cores)
