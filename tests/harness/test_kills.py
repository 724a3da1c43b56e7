"""kill -9 of the driver, again and again, at random moments: the same command takes the run up, and nothing is lost.

    pytest tests/harness/test_kills.py              five kills of one grid
    make soak                                       twenty, of four grids

MAPBENCH_KILLS=N is another number of kills, MAPBENCH_KILLS_SEED=N draws the moments that a former run printed.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from results import tables
from tests.harness import runs
from tests.harness.conftest import QUICK
from tests.harness.runs import CELLS, FOREST, Running, slow

ROUND = 5  # kills that one grid is given: the last of them at its end
SPARED = 7  # cells that are left for the kills that follow
FIRST = ("start-up", "training", "writing", "training")
WRITTEN = ("predictions/*", "checkpoints/*", "pictures/*", "records/*/.*")  # what a worker leaves before its record


def await_moment(run: Running, moment: str, out: Path, rng: random.Random) -> None:
    """Return when the driver is to be killed."""
    before, artefacts = runs.begun(out), _artefacts(out)
    if moment == "start-up":  # at the latest when the first cell begins
        limit = rng.uniform(0.0, 6.0)
        run.until(lambda: run.seconds > limit or runs.begun(out) - before)
    elif moment == "training":
        goal = min(_done(out) + rng.randrange(10), CELLS - SPARED)
        run.until(lambda: (runs.begun(out) - before or _at_work(run, out)) and _done(out) >= goal)
        limit = run.seconds + rng.uniform(0.0, 3.0)
        run.until(lambda: run.seconds > limit or _done(out) >= CELLS - SPARED)
    elif moment == "writing":
        skip = min(rng.randrange(3), max(CELLS - _done(out) - 3, 0))  # not always the first cell's
        run.until(lambda: len(_artefacts(out) - artefacts) > skip)
    else:
        run.until(lambda: _done(out) == CELLS)
        limit = run.seconds + rng.uniform(0.0, 2.0)
        run.until(lambda: run.seconds > limit)


def _artefacts(out: Path) -> set[str]:
    return {str(path) for pattern in WRITTEN for path in out.glob(pattern)}


def _at_work(run: Running, out: Path) -> bool:
    """Whether a cell runs whose attempt has a log from before: a killed attempt's number is given again."""
    return any(path.stat().st_mtime > run.process_time for path in out.glob("logs/*.log") if path.name != "ray.log")


def _done(out: Path) -> int:
    return len({path.name[:64] for path in out.glob("records/*/[!.]*.json")})


def play(folder: Path, data: Path, kills: int, seed: int) -> Path:
    """Run the grid, kill it `kills` times, let it end; what must hold after each kill is checked on the way."""
    rng, out = random.Random(seed), folder / "run"
    moments = [FIRST[i % len(FIRST)] for i in range(kills - 1)]
    rng.shuffle(moments)
    print(f"\nseed {seed}: {kills} kills", flush=True)
    had: dict[str, list[str]] = {}
    for number, moment in enumerate([*moments, "end", None], 1):
        mirrored = moment in ("start-up", "end", None)  # MLflow's child is killed with its driver too
        arguments = ("run", QUICK, *FOREST, "--out", str(out), *(() if mirrored else ("--no-mlflow",)))
        run = Running(*arguments, cwd=folder, data=data)
        try:
            if moment is None:
                assert run.wait() == 0, run.said
                assert not (left := run.family()), left
                print(f"  the last run took {run.seconds:.1f} s", flush=True)
            else:
                await_moment(run, moment, out, rng)
                at = run.seconds
                gone = run.kill()
                print(
                    f"  kill {number} at {at:.2f} s ({moment}): {_done(out)}/{CELLS} cells, "
                    f"all processes gone after {gone:.1f} s",
                    flush=True,
                )
                assert run.process.returncode == -9
            assert "Traceback" not in run.said, run.said
        finally:
            run.end()
        has = runs.finished(out)
        again = {key: (files, has.get(key)) for key, files in had.items() if has.get(key) != files}
        assert not again, f"cells that were finished ran again, or are gone: {again}"
        had = has
        runs.whole_tables(out)
    assert "MLflow: " in run.said and "failed" not in run.said, run.said
    assert (out / "leaderboard.html").is_file()
    return out


def check(out: Path, undisturbed: Path) -> None:
    """The results are those of a run that nobody touched, and nothing was computed twice."""
    ok = [record["key"] for record in runs.records(out).values() if record["status"] == "ok"]
    assert len(ok) == len(set(ok)) == CELLS
    assert runs.statuses(out) == runs.statuses(undisturbed) == dict.fromkeys(ok, "ok")
    assert runs.counts(out) == runs.counts(undisturbed)
    for name in ("pairs", "attacks"):
        mine, theirs = (tables.read(place, name).to_pylist() for place in (out, undisturbed))
        assert len(mine) == len(theirs) > 0


@slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment_the_same_command_ends_with_the_same_results(
    tmp_path: Path, data: Path, undisturbed: Path
) -> None:
    kills = int(os.environ.get("MAPBENCH_KILLS", ROUND))
    check(play(tmp_path, data, min(kills, ROUND), _seed()), undisturbed)


@slow
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_kills(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    left, seed = int(os.environ.get("MAPBENCH_KILLS", 4 * ROUND)), _seed()
    while left > 0:
        folder = tmp_path / str(seed)
        folder.mkdir()
        check(play(folder, data, min(left, ROUND), seed), undisturbed)
        shutil.rmtree(folder)
        left, seed = left - ROUND, seed + 1


def _seed() -> int:
    return int(os.environ.get("MAPBENCH_KILLS_SEED", random.SystemRandom().randrange(10**6)))
