"""Draws the search's log: what every setting of every method costs the source and takes from the target, on val.

.venv/bin/python docs/tuning/picture.py       writes fronts.png, and df-map.png with a panel for each source
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from choose import SEEN, UNSEEN
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
WIDEST = 0.6  # of source_drop that is drawn; beyond it points stand at the edge


def draw(ax: Axes, title: str, rows: pd.DataFrame, bar: float) -> None:
    """One panel: first round hollow, second round filled, the chosen one a star."""
    first, second = rows[rows.seeds == 1], rows[rows.seeds > 1]
    chosen = (second if len(second) else first)[lambda r: r.chosen]
    ax.scatter(first.source_drop.clip(upper=WIDEST), first.target_removed, facecolors="none", edgecolors="C0", s=28)
    ax.scatter(second.source_drop.clip(upper=WIDEST), second.target_removed, color="C0", s=34)
    ax.scatter(chosen.source_drop.clip(upper=WIDEST), chosen.target_removed, color="C3", marker="*", s=190, zorder=3)
    ax.axvline(bar, color="0.6", linestyle="--", linewidth=1)
    ax.set(title=title, xlim=(-0.02, WIDEST + 0.02), ylim=(-0.15, 1.05))
    ax.grid(alpha=0.3)


def sheet(panels: dict[str, tuple[pd.DataFrame, float]], columns: int, name: str) -> None:
    """All panels in one PNG beside this file."""
    rows = -(-len(panels) // columns)
    size = (3.1 * columns, 2.6 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    figure.set_layout_engine("constrained")
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, (points, bar)) in zip(axes.flat, panels.items(), strict=False):
        draw(ax, title, points, bar)
    figure.supxlabel("source_drop (val); dashed: the rule's bar; hollow: one seed; filled: three; star: chosen")
    figure.supylabel("target_removed (val)")
    figure.savefig(HERE / name, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    log = pd.read_csv(HERE / "digits-mini.csv")
    unseen = {m for m in log.method if m.endswith("-free") or m in ("sf-map", "df-map")}
    bars = {m: UNSEEN if m in unseen else SEEN for m in log.method}
    means = log[log.source == "all"]
    sheet({m: (rows, bars[m]) for m, rows in means.groupby("method")}, 3, "fronts.png")
    df_map = log[(log.method == "df-map") & (log.source != "all")]
    sheet({f"df-map, {s}": (rows, bars["df-map"]) for s, rows in df_map.groupby("source")}, 4, "df-map.png")
