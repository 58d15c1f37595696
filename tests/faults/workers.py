"""Trials of any kind: their order, and running them in several environments in parallel.

A campaign is a type of environment that can be opened, a list of trials, and a function that runs one trial
in an open environment and returns the violations.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, Protocol, TypeVar

from tests.faults.effects import Fault
from tests.faults.transports import warm


class Trial(Protocol):
    """One fault in one act or scenario; ``of`` is the name of that."""

    @property
    def of(self) -> str: ...

    @property
    def fault(self) -> Fault: ...


_FORK = multiprocessing.get_context("fork")
Where, Answer = TypeVar("Where"), TypeVar("Answer")
Some = TypeVar("Some", bound=Trial)
Opener = Callable[[], AbstractContextManager[Where]]
Run = Callable[[Where, Some], Sequence[str]]


@dataclass(frozen=True)
class Result(Generic[Some]):
    """Result of one trial."""

    trial: Some
    violations: tuple[str, ...]

    def __str__(self) -> str:
        return "\n    ".join((str(self.trial), *self.violations))


def spread(every: Sequence[Some], seed: int) -> list[Some]:
    """Shuffle the trials so that any first part of them is spread over subjects, kinds and modes."""
    groups: dict[tuple[str, str, str], list[Some]] = defaultdict(list)
    for one in every:
        groups[one.of, one.fault.effect.kind, one.fault.mode].append(one)
    chance = random.Random(seed)
    for group in groups.values():
        chance.shuffle(group)
    order, left = list(groups), sum(map(len, groups.values()))
    drawn: list[Some] = []
    while len(drawn) < left:
        chance.shuffle(order)
        turns: Counter[str] = Counter()
        numbered = []
        for key in order:
            turns[key[0]] += 1
            numbered.append((turns[key[0]], key))
        for _, key in sorted(numbered, key=lambda turn: turn[0]):  # every subject once before any is repeated
            drawn += [groups[key].pop()] if groups[key] else []
    return drawn


def apart(place: Opener[Where], ask: Callable[[Where], Answer]) -> Answer:
    """Return ``ask``'s answer for an environment opened in another process. RuntimeError if that died."""
    warm()
    here, there = _FORK.Pipe(duplex=False)

    def work() -> None:
        with place() as opened:
            there.send(ask(opened))

    worker = _FORK.Process(target=work)
    worker.start()
    there.close()
    try:
        answer: Answer = here.recv()
    except EOFError as error:
        raise RuntimeError("the process that was asked died") from error
    finally:
        worker.join()
    return answer


def run_trials(
    environments: Sequence[Opener[Where]],
    todo: Sequence[Some],
    run: Run[Where, Some],
    seconds: float = float("inf"),
) -> Iterator[Result[Some]]:
    """Yield each trial's result as it arrives; each environment is opened by its own process.

    After ``seconds`` no further trial is begun. Raises RuntimeError at the end when a process has died: then
    not every trial was done.
    """
    warm()
    until = time.monotonic() + seconds
    workers, listening = [], []
    for first, place in enumerate(environments):
        here, there = _FORK.Pipe(duplex=False)
        mine = range(first, len(todo), len(environments))
        workers.append(_FORK.Process(target=_work, args=(place, todo, mine, run, until, there)))
        workers[-1].start()
        there.close()  # only the worker holds it: EOF shows that the worker has ended
        listening.append(here)
    try:
        for number, violations in _heard(listening):
            yield Result(todo[number], violations)
    finally:
        for one in listening:  # any left if the caller was interrupted: those workers end after their trial
            one.close()
        for worker in workers:
            worker.join()
    if codes := [worker.exitcode for worker in workers if worker.exitcode]:
        raise RuntimeError(f"workers died, and their trials were not done: {codes}")


def _heard(listening: list[Connection]) -> Iterator[tuple[int, tuple[str, ...]]]:
    while listening:
        for one in wait(listening):
            assert isinstance(one, Connection)
            try:
                yield one.recv()
            except EOFError:
                listening.remove(one)


def _work(
    place: Opener[Where],
    todo: Sequence[Some],
    mine: Sequence[int],
    run: Run[Where, Some],
    until: float,
    results: Connection,
) -> None:
    with place() as here, suppress(BrokenPipeError):  # the parent has closed the pipe
        for number in mine:
            if time.monotonic() > until:
                break
            results.send((number, _violations(run, here, todo[number])))


def _violations(run: Run[Where, Some], here: Where, trial: Some) -> tuple[str, ...]:
    try:
        return tuple(run(here, trial))
    except Exception as error:  # noqa: BLE001 - a trial that cannot be judged did not survive
        return (f"the trial itself broke: {type(error).__name__}: {error}",)
