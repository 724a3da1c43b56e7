"""Where slots are made: k on every GPU of a node where the cluster has any, else one per core.

    mapbench run digits-mini --slots-per-gpu auto

`auto` takes as many as the device's memory holds of the largest cell, by what past ones took or else a probe on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.executors import memory, probe
from harness.executors.reasons import last_line

PATIENCE = 90.0  # seconds for the probe, of which it needs ten: another run may have the GPU
OVERRIDE = "--slots-per-gpu N overrides"


@dataclass(frozen=True)
class Place:
    """Where a slot is to be made: a node, what of its resources the slot takes, and its part of the memory."""

    node: str
    needs: dict[str, Any]
    share: memory.Share


def places(
    ray: Any, node: dict[str, Any], graphic: bool, options: dict[str, Any], say: Callable[[str], None]
) -> list[Place]:
    """The slots of one of `ray.nodes()`, by the options of RayExecutor. `graphic`: there are GPUs in the cluster, and
    nothing else works then. What was chosen, and by what, is told to `say`."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name, resources = node["NodeID"], node["Resources"]
    gpus = int(resources.get("GPU", 0)) if options["gpus"] is None else options["gpus"]
    cpus = int(options["cpus"] or resources.get("CPU", 0))
    here: dict[str, Any] = {"scheduling_strategy": NodeAffinitySchedulingStrategy(name, soft=False)}
    if graphic:
        share = options["slots_per_gpu"] or (_fitting(ray, here, cpus / gpus, options, say) if gpus else 1)
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


def _fitting(
    ray: Any, here: dict[str, Any], cores: float, options: dict[str, Any], say: Callable[[str], None]
) -> int:  # fmt: skip
    """How many cells a GPU of a node takes; its memory is asked of nvidia-smi there. What the first node's probe found
    goes for all: tensors are as large on any GPU. One cell where anything goes wrong."""
    try:
        total = _on(ray, memory.smallest_gpu, (), {"num_cpus": 0, **here})
        if options["peak_mb"] is None and options["shapes"]:
            options["peak_mb"] = _on(ray, probe.peak_mb, (options["shapes"],), {"num_cpus": 0, "num_gpus": 1, **here})
            if options["peak_mb"] is None:
                raise RuntimeError("torch sees no GPU")
    except Exception as error:
        options["shapes"] = ()  # one try for all nodes
        say(f"1 slot on each GPU, since what fits could not be measured ({last_line(error)}); {OVERRIDE}")
        return 1
    share, peak = memory.fitting(options["peak_mb"], total, cores), options["peak_mb"]
    if peak:
        takes = f"the largest cell needs {peak / 1024:.1f} of {total / 1024:.0f} GiB"
        say(f"{share} slot{'s' * (share > 1)} on each GPU: {takes}; {OVERRIDE}")
    return share


def _on(ray: Any, function: Callable[..., Any], given: tuple[Any, ...], needs: dict[str, Any]) -> Any:
    """What a function returns in a process of its own on a node, which ends with it and gives the GPU back."""
    answer = ray.remote(max_calls=1)(function).options(max_retries=0, **needs).remote(*given)
    try:
        return ray.get(answer, timeout=PATIENCE)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(answer, force=True)
        raise
