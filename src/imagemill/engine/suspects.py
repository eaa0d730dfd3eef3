"""Who may be in the engine's process, and who killed it. Pure: ids and integers, no clock.

A death accuses all who were in the process. They are tried again in halves, one half after the
other, so that a killer among n is alone with its deaths after about log2(n) of them. Who never saw
a death is handed out at once, beside the half on trial, and waits for nobody. Whoever ends well is
cleared, and leaves the record of every death.

A job is guilty that is left as the only one in the records of `DEATHS` deaths, and that died at
least once with no other suspect beside it. A source is broken when twice nothing but its jobs is
left at deaths that came while it was being loaded; then its jobs are failed untried. A source that
never painted is struck when different jobs of it killed alone twice; then one such death is enough.
A kill from outside accuses nobody, unless it comes again and again: see `KILLS`. Where a source
takes too long to be loaded, it is broken at once, and nobody else is accused.
"""

from collections import Counter
from dataclasses import dataclass, field

DEATHS = 3  # that only one job can explain
STRIKES = 2  # deaths while loading a source, or killers among its jobs
# Kills from outside that a job may see. More are taken for its own deed: on some systems a program,
# not the kernel, kills who takes too much memory.
KILLS = 100


@dataclass(frozen=True)
class Work:
    """One job. cost: how long it takes beside others, in whatever unit."""

    id: str
    source: str
    cost: int


@dataclass(frozen=True)
class Death:
    """ids: who was there and may have done it. loading: the source that was on its way."""

    ids: set[str]
    loading: str | None


Group = tuple[Work, ...]


@dataclass
class Suspects:
    """Every work is either `fresh` (never saw a death), in one of `groups` (to be tried, one after
    the other), or on `trial`; who is in the process now is `running`, too."""

    works: dict[str, Work] = field(default_factory=dict)
    fresh: dict[str, Work] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    trial: dict[str, Work] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    deaths: list[Death] = field(default_factory=list)
    _lonely: Counter[str] = field(default_factory=Counter)  # deaths with no other suspect
    _kills: Counter[str] = field(default_factory=Counter)
    _loads: Counter[str] = field(default_factory=Counter)  # deaths that loading a source explains
    _killers: dict[str, set[str]] = field(default_factory=dict)  # ids by source
    _worked: set[str] = field(default_factory=set)  # sources that have painted

    def add(self, work: Work) -> None:
        self.works[work.id] = self.fresh[work.id] = work

    def due(self) -> list[str]:
        """Who is to be handed to the process now; they are running then."""
        if not self.trial and self.groups:
            group = min(self.groups, key=self._rank)
            self.groups.remove(group)
            self.trial = {work.id: work for work in group}
        due = [id for id in (*self.fresh, *self.trial) if id not in self.running]
        self.running.update(due)
        return due

    def ended(self, id: str, cleared: bool = True) -> None:
        """The job is gone. cleared: it did not kill; otherwise nobody will ever know."""
        del self.works[id]
        for held in (self.fresh, self.trial, self._lonely, self._kills):
            held.pop(id, None)
        self.running.discard(id)
        kept = (tuple(work for work in group if work.id != id) for group in self.groups)
        self.groups = [group for group in kept if group]
        if cleared:
            for death in self.deaths:
                death.ids.discard(id)
        self.deaths = [death for death in self.deaths if id not in death.ids]
        self._explain()

    def loaded(self, source: str) -> None:
        """Loading the source killed nobody."""
        self._loads.pop(source, None)

    def painted(self, source: str) -> None:
        """The source works: what was held against it was the deed of jobs."""
        self._worked.add(source)
        self._killers.pop(source, None)

    def died(self, loading: str | None = None, from_outside: bool = False) -> None:
        """The process died with all who were running; they wait to be handed out again."""
        self._kills.update(self.running if from_outside else ())
        if not from_outside or any(self._kills[id] > KILLS for id in self.running):
            self._accuse(loading)
        self.running = set()

    def overdue(self, source: str) -> None:
        """The process was ended because the source took too long to be loaded."""
        self._loads[source] = STRIKES
        self.running = set()

    def guilty(self) -> list[Work]:
        """Who waits and shall not be tried again; the caller ends them."""
        alone = Counter(id for death in self.deaths if len(death.ids) == 1 for id in death.ids)
        return [
            work
            for id, work in self.works.items()
            if id not in self.running
            and (self.broken(work.source) or (self._lonely[id] and alone[id] >= self._limit(work)))
        ]

    def forgive(self, source: str) -> None:
        """The source may be tried again; one more offence is enough."""
        self._loads[source] = min(self._loads[source], STRIKES - 1)
        self._killers[source] = set(list(self._killers.get(source, ()))[: STRIKES - 1])

    def broken(self, source: str) -> bool:
        return self._loads[source] >= STRIKES

    def struck(self, source: str) -> bool:
        return self.broken(source) or len(self._killers.get(source, ())) >= STRIKES

    def _limit(self, work: Work) -> int:
        return 1 if self.struck(work.source) else DEATHS

    def _accuse(self, loading: str | None) -> None:
        fresh = tuple(self.fresh.pop(id) for id in list(self.fresh) if id in self.running)
        on_trial = tuple(self.trial.values())
        suspects = on_trial or fresh
        if len(suspects) == 1 or _only(suspects, loading):
            self._lonely.update(work.id for work in suspects)
        self.trial = {}
        for group in filter(None, (fresh, on_trial)):
            self.groups += [group] if _only(group, loading) else _halves(group)
        self.deaths.append(Death(set(self.running), loading))
        self._explain()

    def _explain(self) -> None:
        """Looks for deaths for which only one reason is left."""
        for death in list(self.deaths):
            left = tuple(self.works[id] for id in death.ids)
            if death.loading is not None and (_only(left, death.loading) or not left):
                self._loads[death.loading] += 1
                self.deaths.remove(death)
            elif len(left) == 1:
                self._suspect(left[0])
        self.deaths = [death for death in self.deaths if death.ids]

    def _suspect(self, killer: Work) -> None:
        if self._lonely[killer.id] and killer.source not in self._worked:
            self._killers.setdefault(killer.source, set()).add(killer.id)

    def _rank(self, group: Group) -> tuple[int, int]:
        """Who died alone goes last: who was there can be cleared meanwhile, which may explain the
        deaths without another one. Else the short go first."""
        return max(self._lonely[work.id] for work in group), max(work.cost for work in group)


def _only(group: Group, source: str | None) -> bool:
    """Whether the source alone may have killed them, which no halving would tell apart."""
    return bool(group) and all(work.source == source for work in group)


def _halves(group: Group) -> list[Group]:
    """Between two sources where there are some; else the short from the long, so that they do not
    wait for them."""
    if len(group) == 1:
        return [group]
    ordered = sorted(group, key=lambda work: (work.source, work.cost))
    places = range(1, len(ordered))
    seams = [i for i in places if ordered[i - 1].source != ordered[i].source]
    middle = min(seams or places, key=lambda i: abs(2 * i - len(ordered)))
    return [tuple(ordered[:middle]), tuple(ordered[middle:])]
