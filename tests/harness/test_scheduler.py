"""The scheduler's policies by its public methods alone: no executor, no clock. Cells are named by single letters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.bundles import MOST
from harness.executors import Died, Event, Finished, NodeLost, OutOfMemory, Progress, Raised
from harness.pace import SETTLED
from harness.scheduler import Assignment, Policy, Scheduler, Task

CPU = ("cpu/0", "cpu/1")


def task(key: str, parent: str | None = None, **more: Any) -> Task:
    return Task(key, parent, label=key, **more)


def ok(start: Assignment, status: str = "ok") -> Event:
    return Finished(start.slot, start.task.key, start.attempt, {"status": status, "error": None})


def raised(start: Assignment, oom: bool = False) -> Event:
    return Raised(start.slot, start.task.key, start.attempt, "ValueError: x", "Traceback", oom)


def died(start: Assignment) -> Event:
    return Died(start.slot, start.task.key, start.attempt, "exit code 3")


def lost(start: Assignment) -> Event:
    return NodeLost(start.slot, start.task.key, start.attempt, "node gone")


def run_all(scheduler: Scheduler, outcome: Any, slots: tuple[str, ...] = CPU) -> list[str]:
    """Run to the end, one second a cell; `outcome` makes an assignment's event. Returns the order of starts."""
    order, now = [], 0.0
    for _ in range(1000):
        if scheduler.done:
            return order
        starts = scheduler.assign(slots, now)
        order += [start.task.key for start in starts]
        now += 1
        for start in starts:
            scheduler.on(outcome(start), now)
    raise AssertionError("it never ends")


def settled(scheduler: Scheduler) -> dict[str, str]:
    return {row.task.key: row.status for row in scheduler.drain() if row.final}


def test_parents_go_first_then_the_longest() -> None:
    tasks = [task("short", cost=1), task("long", cost=9), task("child", "parent", cost=99), task("parent", cost=2)]
    assert run_all(Scheduler(tasks), ok, ("cpu/0",)) == ["parent", "child", "long", "short"]


def test_a_child_waits_for_its_parent_and_all_its_inputs() -> None:
    scheduler = Scheduler([task("p"), task("s", "p"), task("c", "p", inputs=("s",))])
    (start,) = scheduler.assign(CPU, 0)
    assert start.task.key == "p"
    scheduler.on(ok(start), 1)
    (start,) = scheduler.assign(CPU, 1)
    assert start.task.key == "s"
    scheduler.on(ok(start), 2)
    assert [s.task.key for s in scheduler.assign(CPU, 2)] == ["c"]


def test_one_cell_in_flight_per_slot() -> None:
    scheduler = Scheduler([task("a"), task("b"), task("c")])
    assert [s.slot for s in scheduler.assign(CPU, 0)] == ["cpu/0", "cpu/1"]
    assert scheduler.assign(CPU, 1) == []


def test_finished_keys_are_left_out_and_built_upon() -> None:
    scheduler = Scheduler([task("p"), task("c", "p")], finished={"p"})
    assert run_all(scheduler, ok) == ["c"]


def test_attempts_go_on_from_earlier_ones() -> None:
    (start,) = Scheduler([task("a")], attempts={"a": 2}).assign(CPU, 0)
    assert start.attempt == 3


def test_an_exception_is_final_and_its_children_get_a_reason() -> None:
    scheduler = Scheduler([task("p"), task("c", "p"), task("g", "c"), task("other")])
    order = run_all(scheduler, lambda s: raised(s) if s.task.key == "p" else ok(s))
    rows = {row.task.key: row for row in scheduler.drain()}
    assert sorted(order) == ["other", "p"]
    assert {key: row.status for key, row in rows.items()} == {
        "p": "failed", "c": "skipped", "g": "skipped", "other": "ok"
    }  # fmt: skip
    assert "p" in (rows["c"].error or "") and "failed" in (rows["c"].error or "")
    assert "c" in (rows["g"].error or "") and "skipped" in (rows["g"].error or "")


def test_a_parent_that_is_nowhere_is_a_reason_too() -> None:
    scheduler = Scheduler([task("c", "absent")])
    assert scheduler.done
    (row,) = scheduler.drain()
    assert (row.status, row.final) == ("skipped", True) and "absent" in (row.error or "")


@pytest.mark.parametrize("how", ["record", "raised", "monitor"])
def test_oom_gets_one_retry_alone_on_the_device(how: str) -> None:
    events = {
        "record": lambda s: ok(s, "oom"),
        "raised": lambda s: raised(s, oom=True),
        "monitor": lambda s: OutOfMemory(s.slot, s.task.key, s.attempt, "the node is full"),
    }
    scheduler = Scheduler([task("big", cost=9), task("a", cost=5), task("b")])
    big, a = scheduler.assign(CPU, 0)
    assert (big.task.key, big.alone) == ("big", False)
    scheduler.on(events[how](big), 1)
    assert scheduler.assign(CPU, 1) == []  # `a` still runs on the device, and `b` may not start there
    scheduler.on(ok(a), 2)
    (again,) = scheduler.assign(CPU, 2)
    assert (again.task.key, again.attempt, again.alone) == ("big", 2, True)
    assert scheduler.assign(CPU, 3) == []  # nothing else beside it
    scheduler.on(events[how](again), 4)
    (b,) = scheduler.assign(CPU, 4)
    scheduler.on(ok(b), 5)
    assert scheduler.done
    rows = [(row.task.key, row.attempt, row.status, row.final) for row in scheduler.drain()]
    assert [row for row in rows if row[0] == "big"] == [("big", 1, "oom", False), ("big", 2, "oom", True)]


def test_the_other_gpu_goes_on_while_one_is_held_for_an_oom_retry() -> None:
    slots = ("cuda:0/0", "cuda:0/1", "cuda:1/2", "cuda:1/3")
    scheduler = Scheduler([task(key) for key in "abcdefgh"])
    starts = scheduler.assign(slots, 0)
    for start in starts:
        scheduler.on(ok(start, "oom") if start.task.key == "a" else ok(start), 1)
    starts = scheduler.assign(slots, 1)
    devices = {start.task.key: start.slot.split("/")[0] for start in starts}
    assert list(devices.values()).count(devices["a"]) == 1
    assert len(starts) == 3


def test_a_dead_process_is_retried_and_after_two_the_cell_is_quarantined() -> None:
    scheduler = Scheduler([task("x"), task("a")])
    order = run_all(scheduler, lambda s: died(s) if s.task.key == "x" else ok(s))
    rows = [(row.attempt, row.status, row.final) for row in scheduler.drain() if row.task.key == "x"]
    assert order.count("x") == 2
    assert rows == [(1, "lost", False), (2, "quarantined", True)]


def test_one_dead_process_is_forgiven() -> None:
    scheduler = Scheduler([task("x")])
    run_all(scheduler, lambda s: died(s) if s.attempt == 1 else ok(s))
    assert settled(scheduler) == {"x": "ok"}


def test_a_lost_node_does_not_count_as_a_death_but_not_for_ever() -> None:
    scheduler = Scheduler([task("x")], Policy(slot_losses=9))
    run_all(scheduler, lambda s: lost(s) if s.attempt <= 2 else ok(s))
    assert settled(scheduler) == {"x": "ok"}
    scheduler = Scheduler([task("x")], Policy(slot_losses=9))
    assert run_all(scheduler, lost) == ["x"] * 3
    assert settled(scheduler) == {"x": "lost"}


def test_a_hung_cell_is_given_up_some_time_after_its_deadline_and_not_retried() -> None:
    policy = Policy(timeout=60, grace=5)
    scheduler = Scheduler([task("slow", timeout=10), task("free"), task("next", cost=0.1)], policy)
    slow, free = scheduler.assign(CPU, 100)
    assert scheduler.expire(114.9) == []  # it may still end by itself
    assert scheduler.expire(115) == [slow.slot]
    (after,) = scheduler.assign(CPU, 115)
    assert after.slot == slow.slot
    scheduler.on(died(slow), 115.5)  # the echo of the kill
    scheduler.on(ok(slow), 115.6)  # or a record that came too late
    scheduler.on(ok(after), 120)
    assert scheduler.expire(164.9) == []
    assert scheduler.expire(165) == [free.slot]
    assert settled(scheduler) == {"slow": "timeout", "free": "timeout", "next": "ok"} and scheduler.done


def test_a_slot_that_loses_three_different_cells_in_a_row_is_closed() -> None:
    scheduler = Scheduler([task(key) for key in "abcdef"])
    lost_on: list[str] = []

    def bad_slot(start: Assignment) -> Event:
        if start.slot != "cpu/0":
            return ok(start)
        lost_on.append(start.task.key)
        return lost(start)

    run_all(scheduler, bad_slot)
    assert scheduler.closed == {"cpu/0"}
    assert len(lost_on) == len(set(lost_on)) == 3  # a lost cell is retried on the other slot
    assert set(settled(scheduler).values()) == {"ok"}


def test_a_node_that_loses_three_different_cells_over_its_slots_is_closed_while_there_is_another() -> None:
    bad, good = ("cpu@10.0.0.1/0", "cpu@10.0.0.1/1", "cpu@10.0.0.1/2"), ("cpu@10.0.0.2/3", "cpu@10.0.0.2/4")
    scheduler = Scheduler([task(key) for key in "abcdefghij"])
    run_all(scheduler, lambda s: died(s) if s.slot in bad else ok(s), bad + good)
    assert scheduler.closed == {"10.0.0.1"}
    assert set(settled(scheduler).values()) == {"ok"}
    alone = Scheduler([task(key) for key in "abcdefghij"])
    run_all(alone, lambda s: died(s) if s.attempt == 1 else ok(s), bad)
    assert "10.0.0.1" not in alone.closed


def test_what_another_driver_settled_is_taken_over_and_what_it_runs_is_left_to_it() -> None:
    scheduler = Scheduler([task("p", cost=9), task("c", "p"), task("q", cost=8), task("d", "q"), task("x"), task("y")])
    scheduler.elsewhere({"p": "ok", "q": "failed", "unknown": "ok"}, ["x"])
    starts = scheduler.assign(CPU, 0)
    assert [start.task.key for start in starts] == ["c", "y"]
    for start in starts:
        scheduler.on(ok(start), 1)
    assert scheduler.assign(CPU, 1) == [] and not scheduler.done  # x runs there: it may yet be wanted here
    again = Scheduler([task("x")])
    again.elsewhere({}, ["x"])
    assert again.assign(CPU, 0) == []
    again.elsewhere({}, [])  # that driver is gone
    assert len(again.assign(CPU, 0)) == 1
    scheduler.elsewhere({"x": "ok"}, [])
    assert scheduler.done
    assert settled(scheduler) == {"c": "ok", "y": "ok", "d": "skipped"}  # no row for what has its record already
    assert scheduler.counts() == {"ok": 4, "failed": 1, "skipped": 1}


def test_a_cell_that_ends_here_and_elsewhere_is_settled_once() -> None:
    scheduler = Scheduler([task("a"), task("b", "a")])
    (a,) = scheduler.assign(CPU, 0)
    scheduler.elsewhere({"a": "ok"}, [])
    scheduler.on(ok(a), 1)
    (b,) = scheduler.assign(CPU, 1)
    scheduler.on(ok(b), 2)
    assert scheduler.done and scheduler.counts() == {"ok": 2}


def test_a_success_between_two_losses_forgives_the_slot() -> None:
    scheduler = Scheduler([task(key) for key in "abcdefgh"])
    count = iter(range(100))
    run_all(scheduler, lambda s: lost(s) if next(count) % 2 == 0 else ok(s), ("cpu/0",))
    assert scheduler.closed == set()


def test_cells_that_kill_every_process_do_not_close_the_slots() -> None:
    scheduler = Scheduler([task(f"killer {i}") for i in range(8)] + [task("good", cost=0.1)])
    run_all(scheduler, lambda s: died(s) if "killer" in s.task.key else ok(s), ("cpu/0",))
    assert scheduler.closed == set() and settled(scheduler)["good"] == "ok"


def test_without_any_slot_left_the_run_stops_and_says_so() -> None:
    scheduler = Scheduler([task(key) for key in "abcdef"], Policy(losses=99))
    run_all(scheduler, lost, ("cpu/0",))
    assert "closed" in (scheduler.stopped or "")


@pytest.mark.parametrize(("policy", "most"), [(Policy(fail_fast=True), 2), (Policy(max_failures=3), 4), (Policy(), 9)])
def test_failures_stop_the_run_where_asked(policy: Policy, most: int) -> None:
    scheduler = Scheduler([task(str(i)) for i in range(9)], policy)
    assert len(run_all(scheduler, raised)) == most  # of two that run, the second may end
    assert (scheduler.stopped is None) == (policy == Policy())


def test_progress_and_time_left() -> None:
    scheduler = Scheduler([task("a", cost=2), task("b", cost=1), task("c", cost=1)])
    (a,) = scheduler.assign(["cpu/0"], 0)
    assert scheduler.left(1, 0) is None
    scheduler.on(Progress(a.slot, "a", 1, 0.5, "epoch 6/12"), 10)
    (run,) = scheduler.running()
    assert (run.done, run.note, run.started) == (0.5, "epoch 6/12", 0)
    scheduler.on(ok(a), 20)
    scheduler.assign(["cpu/0"], 20)
    assert scheduler.left(1, 24) == pytest.approx(6 + 10)
    assert scheduler.counts() == {"ok": 1, "running": 1, "ready": 1}


def short(count: int = 200) -> Scheduler:
    """A grid of short cells, of which so many have ended that the scheduler knows it."""
    scheduler = Scheduler([task(f"{number:03}") for number in range(count)])
    for step in range(SETTLED // 2):
        for start in scheduler.assign(CPU, step * 0.01):
            scheduler.on(ok(start), step * 0.01 + 0.01)
    scheduler.drain()
    return scheduler


def test_short_cells_are_handed_out_together_and_each_has_its_own_clock() -> None:
    scheduler = short()
    starts = scheduler.assign(CPU, 10)
    first = [start for start in starts if start.slot == CPU[0]]
    assert len(first) == MOST + 1 and len({start.task.key for start in starts}) == len(starts)
    assert [run.task.key for run in scheduler.running()] == [first[0].task.key, starts[len(first)].task.key]
    assert scheduler.assign(CPU, 10) == []
    scheduler.on(ok(first[1]), 10.1)  # not its turn: ignored
    assert scheduler.drain() == []
    scheduler.on(ok(first[0]), 10.2)
    scheduler.on(ok(first[1]), 10.5)
    assert [(row.started, row.finished) for row in scheduler.drain()] == [(10, 10.2), (10.2, 10.5)]
    assert scheduler.counts()["running"] == len(starts) - 2


def test_those_behind_a_cell_that_dies_go_back_unharmed() -> None:
    scheduler = short()
    starts = scheduler.assign(CPU, 10)
    first = [start for start in starts if start.slot == CPU[0]]
    before = scheduler.counts()
    scheduler.on(died(first[0]), 11)
    assert scheduler.counts()["ready"] == before["ready"] + len(first)
    again = scheduler.assign(CPU[:1], 12)
    assert {start.attempt for start in again if start.task.key != first[0].task.key} == {1}
    for start in [*starts[len(first) :], *again]:
        scheduler.on(ok(start), 13)
    run_all(scheduler, ok)
    rows = scheduler.drain()
    assert {row.status for row in rows if row.final} == {"ok"} and scheduler.done
    assert [row.attempt for row in rows if row.task.key == first[0].task.key] == [1, 2]
    assert max(Counter(row.task.key for row in rows if row.final).values()) == 1


@pytest.mark.parametrize("why", ["long", "unknown", "counted", "shared"])
def test_cells_are_taken_one_at_a_time_where_that_matters(why: str) -> None:
    if why == "shared":
        scheduler = short()
        scheduler.shared = True
    elif why == "counted":
        scheduler = short()
        scheduler.policy = Policy(max_failures=2)
    elif why == "unknown":
        scheduler = Scheduler([task(str(number)) for number in range(100)])
    else:
        scheduler = Scheduler([task(f"{number:03}") for number in range(200)])
        for step in range(SETTLED):
            for start in scheduler.assign(CPU, step):
                scheduler.on(ok(start), step + 0.5)
    assert len(scheduler.assign(CPU, 99)) == 2


def test_the_last_cells_do_not_wait_on_one_slot() -> None:
    scheduler = short(SETTLED + 10)
    starts = scheduler.assign(CPU, 10)
    assert max(Counter(start.slot for start in starts).values()) <= 1 + 10 // 4


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Scheduler([task("a"), task("a")])


def test_ten_thousand_cells_are_scheduled_in_no_time() -> None:
    scheduler = Scheduler([task("p")] + [task(str(i), "p", cost=i) for i in range(10_000)])
    starts = scheduler.assign(CPU, 0)
    ended = 0
    while starts:
        for start in starts:
            scheduler.on(ok(start), 1)
            ended += len(scheduler.drain())
        starts = scheduler.assign(CPU, 1)
    assert ended == 10_001 and scheduler.done
