"""A Ray cluster of several nodes on one machine, in a process of its own: for tests that take nodes away and add them.

    RAY_TMPDIR=/tmp/short RAY_AUTH_MODE=token RAY_AUTH_TOKEN=... python -m tests.harness.cluster

Its stdin takes: add, remove.
It says one line of JSON per order: the address and the pids of the nodes' raylets. It ends when its stdin closes. `add`
and `remove` are about nodes of one core; the head has none, so that no cell is lost with what holds the cluster.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Hold the cluster until stdin closes."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0})
    nodes = [cluster.add_node(**small, num_cpus=1) for _ in range(2)]
    try:
        tell(cluster, nodes)
        for order in sys.stdin:
            if order.strip() == "add":
                nodes.append(cluster.add_node(**small, num_cpus=1))
            else:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            tell(cluster, nodes)
    finally:
        cluster.shutdown()


def tell(cluster: Any, nodes: list[Any]) -> None:
    """Where it is, and which processes are its nodes."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)


if __name__ == "__main__":
    main()
