"""The scenario is enforced: what `needs` does not declare cannot be had, by setup or by a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.access import DataAccess
from methods.base import Method, Needs
from methods.images import normalise
from suites.schema import Recipe

RECIPE = Recipe(optimizer="adam", lr=1e-3, batch=4, epochs=1, schedule="linear")


def domain(value: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((n, 3, 8, 8), value, dtype=torch.uint8), torch.arange(n)


def access(source: Any, target: Any, n_source: int = 10, n_target: int = 13) -> DataAccess:
    class Probe(Method):
        name = "probe"
        needs = Needs(source=source, target=target)

    return DataAccess(Probe(), {"source": domain(1, n_source), "target": domain(2, n_target)}, RECIPE, 10, 8, 0)


@pytest.mark.parametrize(
    ("source", "target", "given"),
    [
        ("labelled", "labelled", {"x_s", "y_s", "x_t", "y_t"}),
        ("labelled", "unlabelled", {"x_s", "y_s", "x_t"}),
        ("labelled", "none", {"x_s", "y_s"}),
        ("none", "unlabelled", {"x_t"}),
    ],
)
def test_a_batch_holds_what_was_declared_and_nothing_else(source: str, target: str, given: set[str]) -> None:
    batch = next(access(source, target).epoch())
    for name in ("x_s", "y_s", "x_t", "y_t"):
        if name in given:
            assert len(getattr(batch, name)) == 4
        else:
            with pytest.raises(ValueError, match=f"probe asked for {name}"):
                getattr(batch, name)


def test_setup_cannot_fetch_what_was_not_declared() -> None:
    free = access("none", "unlabelled")
    with pytest.raises(ValueError, match="probe asked for source data"):
        free.source()
    images, labels = free.target()
    assert len(images) == 13
    assert labels is None
    with pytest.raises(ValueError, match="probe asked for target data"):
        access("labelled", "none").target()


def test_data_free_methods_are_served_nothing() -> None:
    assert access("none", "none").steps_per_epoch == 0


class Made:
    """A synthesiser's two abilities, with images that say where they came from."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        tag = int(torch.randint(100, 200, (), generator=generator))
        return torch.full((count, 3, 8, 8), tag, dtype=torch.uint8), torch.arange(count)


class Near:
    def neighbours(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return 255 - images, labels


def made(source: Any, target: Any, **inputs: Any) -> DataAccess:
    class Probe(Method):
        name = "probe"
        needs = Needs(source=source, target=target)

    return DataAccess(Probe(), {"source": domain(1, 10), "target": domain(2, 13)}, RECIPE, 20, 8, 0, inputs, count=20)


def test_generated_images_stand_where_they_were_declared_and_real_ones_cannot_be_had() -> None:
    free = made("generated", "unlabelled", generator=Made())
    assert free.steps_per_epoch == 3  # of 20 drawn and 13 real ones
    first, second = (list(free.epoch()) for _ in range(2))
    for batch in first:
        assert not torch.equal(batch.x_s, normalise(domain(1, 4)[0]))  # not the source's own
        assert torch.equal(batch.x_t, normalise(domain(2, 4)[0]))
        assert len(batch.rows_t) == 4
        with pytest.raises(ValueError, match="asked for rows_s"):
            _ = batch.rows_s
        with pytest.raises(ValueError, match="asked for y_t"):
            _ = batch.y_t
    assert not torch.equal(first[0].x_s, second[0].x_s)  # drawn anew
    with pytest.raises(ValueError, match="probe asked for source data"):
        free.source()


def test_generated_images_are_drawn_for_three_epochs_and_then_come_again_in_another_order() -> None:
    calls = []

    class Counted(Made):
        def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            calls.append(count)
            images = torch.arange(count, dtype=torch.uint8) + 20 * len(calls)
            return images[:, None, None, None].expand(count, 3, 8, 8).clone(), torch.arange(count)

    free = made("generated", "none", generator=Counted())
    epochs = [torch.cat([batch.x_s[:, 0, 0, 0] for batch in free.epoch()]) for _ in range(5)]
    assert calls == [20] * 3
    first, second, third, fourth, fifth = epochs
    assert not set(first.tolist()) & set(second.tolist()) | set(second.tolist()) & set(third.tolist())
    assert set(fourth.tolist()) == set(first.tolist()) and set(fifth.tolist()) == set(second.tolist())
    assert not torch.equal(fourth, first)


def test_neighbours_are_made_from_what_is_served_as_source_and_keep_its_labels() -> None:
    near = made("labelled", "generated", neighbours=Near())
    assert near.steps_per_epoch == 2
    for batch in near.epoch():
        assert torch.equal(batch.x_t, normalise(255 - domain(1, 4)[0]))
        assert set(batch.y_t.tolist()) <= set(range(10))
    free = made("generated", "generated", generator=Made(), neighbours=Near())
    assert free.steps_per_epoch == 5
    assert len(next(free.epoch()).x_t) == 4


def test_generated_images_without_a_synthesiser_that_can_are_one_clear_error() -> None:
    with pytest.raises(ValueError, match=r"probe declares generated images, but 0 of its inputs \(near\) can draw"):
        next(made("generated", "none", near=Near()).epoch())


def test_an_epoch_serves_each_image_at_most_once_and_labels_stay_with_images() -> None:
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 3, 8, 8).contiguous()
    labels = torch.arange(12)

    class Probe(Method):
        name = "probe"
        needs = Needs(target="none")

    served = DataAccess(Probe(), {"source": (images, labels)}, RECIPE, 12, 8, 0)
    seen: list[int] = []
    for batch in served.epoch():
        assert torch.equal(batch.x_s, normalise(images[batch.y_s]))
        seen += batch.y_s.tolist()
    assert sorted(seen) == list(range(12))
    again = [y for batch in served.epoch() for y in batch.y_s.tolist()]
    assert again != seen  # reshuffled every epoch


def test_epoch_length_follows_the_smaller_domain() -> None:
    assert access("labelled", "labelled", n_source=10, n_target=13).steps_per_epoch == 2
    assert access("labelled", "labelled", n_source=30, n_target=5).steps_per_epoch == 1


@pytest.mark.parametrize("sizes", [(13,), (13, 13, 13), (9, 20, 13)])
def test_the_domains_of_a_union_take_turns_in_every_batch(sizes: tuple[int, ...]) -> None:
    """Each has its share of every batch, no image is served twice in an epoch, and rows point to their images."""

    class Probe(Method):
        name = "probe"

    pieces = [domain(2 + i, n)[0] for i, n in enumerate(sizes)]
    images, labels = torch.cat(pieces), torch.arange(sum(sizes))
    served = DataAccess(
        Probe(), {"source": domain(1, 100), "target": (images, labels)}, RECIPE, 10, 8, 0, union=list(sizes)
    )
    assert served.steps_per_epoch == len(sizes) * min(sizes) // 4
    whole, again = [], []
    for batch in served.epoch():
        assert torch.equal(batch.x_t, normalise(images[batch.y_t])) and torch.equal(batch.rows_t, batch.y_t)
        shares = [int((images[batch.y_t, 0, 0, 0] == 2 + i).sum()) for i in range(len(sizes))]
        assert max(shares) - min(shares) <= 1
        whole += batch.y_t.tolist()
    for batch in served.epoch():
        again += batch.y_t.tolist()
    assert len(set(whole)) == len(whole) and again != whole


def test_a_union_of_one_is_served_as_a_plain_target() -> None:
    class Probe(Method):
        name = "probe"

    parts = {"source": domain(1, 10), "target": domain(2, 13)}
    plain, union = (DataAccess(Probe(), parts, RECIPE, 10, 8, 0, union=given) for given in ((), (13,)))
    assert [(b.y_s.tolist(), b.y_t.tolist()) for b in plain.epoch()] == [
        (b.y_s.tolist(), b.y_t.tolist()) for b in union.epoch()
    ]


def test_data_order_depends_on_the_seed_alone() -> None:
    orders = [[b.y_s.tolist() for b in access("labelled", "labelled").epoch()] for _ in range(2)]
    assert orders[0] == orders[1]
    drawn = access("labelled", "labelled")
    torch.rand(3, generator=drawn.generator)  # a method's own draws leave the order alone
    assert [b.y_s.tolist() for b in drawn.epoch()] == orders[0]


class SourceOnly(Method):
    name = "probe"
    needs = Needs(target="none")


def textured(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of which no two pixels of a channel are alike, so that a move can be read off."""
    generator = torch.Generator().manual_seed(0)
    planes = [torch.randperm(64, generator=generator).view(8, 8) for _ in range(n * 3)]
    return torch.stack(planes).view(n, 3, 8, 8).to(torch.uint8), torch.arange(n)


def moving(shift: int) -> DataAccess:
    recipe = RECIPE.model_copy(update={"shift": shift})
    return DataAccess(SourceOnly(), {"source": textured(200)}, recipe, 200, 8, 0)


def epoch(access: DataAccess) -> list[tuple[torch.Tensor, int]]:
    """The images of one epoch as they were served, each with its label, which is its place in `textured`."""
    return [(x, int(y)) for batch in access.epoch() for x, y in zip(batch.x_s, batch.y_s, strict=True)]


def test_a_shift_moves_each_image_by_its_own_draw_and_repeats_the_edge() -> None:
    images, _ = textured(200)
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="replicate").to(torch.uint8)
    moves = [(y, x) for y in range(5) for x in range(5)]
    seen = []
    for served, label in epoch(moving(2)):
        windows = torch.stack([padded[label, :, y : y + 8, x : x + 8] for y, x in moves])
        same = (normalise(windows) == served).flatten(1).all(1).nonzero().flatten().tolist()
        assert len(same) == 1  # one of the 25 moves, in all three channels, and of the image whose label came with it
        seen += same
    assert set(seen) == set(range(25))  # both ways and to the full reach: 200 draws miss one of 25 in 1 of 140 seeds


def test_a_shift_leaves_the_order_and_the_stored_images_alone() -> None:
    images, _ = textured(200)
    plain, access = moving(0), moving(2)
    still, moved = epoch(plain) + epoch(plain), epoch(access) + epoch(access)
    assert [y for _, y in still] == [y for _, y in moved]  # in the second epoch too, after the first one's moves
    assert all(torch.equal(x, normalise(images[[y]])[0]) for x, y in still)
    assert torch.equal(access.source()[0], normalise(images))


def test_shifts_depend_on_the_seed_alone_and_are_drawn_anew_each_epoch() -> None:
    access, again = moving(2), moving(2)
    torch.rand(3, generator=again.generator)  # a method's own draws leave them alone
    first, second = epoch(access), {y: x for x, y in epoch(access)}
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, epoch(again), strict=True))
    kept = [torch.equal(x, second[y]) for x, y in first]
    assert sum(kept) < 30  # of 200, where 1 in 25 draws the same move twice


def test_normalise_is_the_published_chain() -> None:
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    wanted = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalise(image).flatten().tolist() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("union", [(), (20, 20)])
def test_how_many_steps_are_made_at_once_changes_no_batch(
    monkeypatch: pytest.MonkeyPatch, union: tuple[int, ...]
) -> None:
    """Rows, labels, shifts and pixels: of one step, of some that do not divide the epoch, of all."""

    class Both(Method):
        name = "both"

    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=draws)
    parts = {"source": (images[:37], torch.arange(37)), "target": (255 - images, torch.arange(40))}
    recipe, told = RECIPE.model_copy(update={"shift": 2}), []
    for at_once in (1, 3, 100):
        monkeypatch.setattr("harness.access.SERVED", {"cpu": at_once * 2 * 4 * 3 * 8 * 8 * 4})
        given = DataAccess(Both(), parts, recipe, 10, 8, 0, union=union)
        told.append([batch for _ in range(2) for batch in given.epoch()])
    assert len(told[0]) == 2 * (37 // 4)
    for others in told[1:]:
        for batch, other in zip(told[0], others, strict=True):
            assert batch.parts.keys() == other.parts.keys()
            assert batch.parts.keys() == {"x_s", "x_t", "y_s", "y_t", "rows_s", "rows_t", "joint"}
            assert all(torch.equal(part, other.parts[name]) for name, part in batch.parts.items())
            assert torch.equal(batch.joint, torch.cat([batch.x_s, batch.x_t]))
