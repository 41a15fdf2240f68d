"""Brings a cluster to what the registry says, and notes in the registry what came to answer.

A component is started and asked before any gateway routes to it, and runs on for a while after nothing pins it. What
does not come to answer in time is marked as failed: then the registry pins again what was live before, and what is
served was never anything else.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from mixstage.errors import MixstageError, ReleaseError
from mixstage.release.record import Note, Pin, Release, Standing
from mixstage.release.registry import Registry
from mixstage.release.trials.controller import AUTHOR
from mixstage.serve.answering.components import component_apps
from mixstage.serve.operator.apps import GATEWAY, AppConfig, Catalogue, HttpOptions

_RESTART_S = 30.0  # between two attempts with an application that Serve gave up
_REASON = 2000  # characters of a message that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What the cluster says of a Serve application."""

    status: str  # Serve's own: NOT_STARTED | DEPLOYING | RUNNING | UNHEALTHY | DEPLOY_FAILED | DELETING
    message: str
    config: AppConfig | None  # as it was deployed
    running: int  # replicas


class Cluster(Protocol):
    """A running Serve."""

    def apps(self) -> dict[str, AppState]: ...

    def deploy(self, http: HttpOptions, apps: list[AppConfig]) -> None:
        """Makes these the applications that run: starts, changes and stops what differs."""
        ...

    def check(self, app: str) -> None:
        """Asks an application for a real answer; raises what goes wrong."""
        ...


@dataclass
class Reconciler:
    """Brings the cluster to what the registry says, one `step` at a time.

    All that it must know is in the registry and in the cluster: another one may take over at any time. clock: seconds,
    monotonic.
    """

    registry: Registry
    cluster: Cluster
    catalogue: Catalogue
    clock: Callable[[], float] = time.monotonic
    _sent: dict[str, AppConfig] = field(default_factory=dict)  # what was deployed last
    _pinned: dict[str, float] = field(default_factory=dict)  # when each application was last needed
    _since: dict[tuple[str, int], float] = field(default_factory=dict)  # when each row began to wait for its components
    _restarted: dict[str, float] = field(default_factory=dict)  # when an application was given another attempt
    _hopeless: set[tuple[str, int]] = field(default_factory=set)  # rows that failed with nothing to go back to

    def step(self) -> list[str]:
        """Deploys what is missing, marks what answers or failed; what happened, in sentences."""
        standings = self.registry.standings()
        states = self.cluster.apps()
        settled = list(self._settle(standings, states))
        return settled + self._deploy(self.registry.standings() if settled else standings, states)

    def is_serving(self) -> bool:
        """Whether every application is served with the release that is wanted, and the gateway runs."""
        states = self.cluster.apps()
        settled = all(s.served == s.wanted for s in self.registry.standings().values())
        return settled and GATEWAY in states and states[GATEWAY].status == "RUNNING"

    def _settle(self, standings: Mapping[str, Standing], states: Mapping[str, AppState]) -> Iterator[str]:
        waiting = [release for standing in standings.values() for release in _waiting(standing)]
        self._since = {key: t for key, t in self._since.items() if key in {(r.application, r.number) for r in waiting}}
        for release in waiting:
            problem = self._problem(release, states)
            if problem is None:
                self.registry.mark_answering(release)
                yield f"{release.application}: release {release.number} answers: {release.pin.composition}"
            elif self._is_over(release, states):
                yield from self._fail(release, problem)

    def _problem(self, release: Release, states: Mapping[str, AppState]) -> str | None:
        """Why a release can't be routed to yet; None: all of its components answered."""
        try:
            apps = list(self.catalogue.components(release.pin))
        except MixstageError as error:
            return str(error)
        for app in apps:
            if app not in states or states[app].status != "RUNNING":
                state = f"{states[app].status} {states[app].message}" if app in states else "not started yet"
                return f"{app} is {' '.join(state.split())}"
        for app in apps:
            try:
                self.cluster.check(app)
            except Exception as error:
                return f"{app} does not answer: {' '.join(str(error).split())}"
        return None

    def _is_over(self, release: Release, states: Mapping[str, AppState]) -> bool:
        since = self._since.setdefault((release.application, release.number), self.clock())
        failed = any(app in states and states[app].status == "DEPLOY_FAILED" for app in component_apps(release.pin))
        return failed or self.clock() - since > self.catalogue.serving.start_s

    def _fail(self, release: Release, problem: str) -> Iterator[str]:
        reason = f"release {release.number} ({release.action}) did not come to answer: {problem}"
        note = Note(author=AUTHOR, reason=reason[:_REASON])
        try:
            row = self.registry.fail(release.application, note, seen=release.number)
        except ReleaseError:
            return  # someone released meanwhile: that is what counts now
        if row is not None:
            yield f"{release.application}: {reason}; {row.pin.composition} stays"
        elif (release.application, release.number) not in self._hopeless:
            self._hopeless.add((release.application, release.number))
            yield f"{release.application}: {reason}; nothing was live before it, so it is still tried"

    def _deploy(self, standings: Mapping[str, Standing], states: Mapping[str, AppState]) -> list[str]:
        wanted: dict[str, AppConfig] = {}
        for standing in standings.values():
            for pin in _pins(standing):
                with suppress(MixstageError):  # what can't be described is reported and fails: see `_problem`
                    wanted |= self.catalogue.components(pin)
        self._pinned |= dict.fromkeys(wanted, self.clock())
        wanted |= self._retained(wanted, states)
        if GATEWAY in states or self._may_route(standings, states):
            wanted[GATEWAY] = self.catalogue.gateway()
        for name in self._stuck(wanted, states):
            del wanted[name]
        if wanted == self._sent and set(wanted) <= set(states):
            return []
        self.cluster.deploy(self.catalogue.http(), list(wanted.values()))
        self._sent, before = wanted, set(self._sent) | set(states)
        return [f"starting {name}" for name in wanted if name not in before] + [
            f"stopping {name}" for name in sorted(before - set(wanted))
        ]

    def _stuck(self, wanted: Mapping[str, AppConfig], states: Mapping[str, AppState]) -> list[str]:
        """Applications that Serve gave up and that nobody answers for: it tries again only after they were gone.

        They are left out until they are, each for one attempt in a while.
        """
        stuck = []
        for name in wanted:
            leaving = name in self._restarted and name in states and name not in self._sent
            given_up = name in states and states[name].status == "DEPLOY_FAILED" and not states[name].running
            if given_up and self.clock() - self._restarted.get(name, -_RESTART_S) >= _RESTART_S:
                self._restarted[name] = self.clock()
                leaving = True
            if leaving:
                stuck.append(name)
        return stuck

    def _retained(self, wanted: Mapping[str, AppConfig], states: Mapping[str, AppState]) -> dict[str, AppConfig]:
        """What nothing needs any more: a gateway that has not heard of it may still ask it, a rollback may want it."""
        retained = {}
        for name, state in states.items():
            config = self._sent.get(name) or state.config
            if name in wanted or name == GATEWAY or state.status != "RUNNING" or config is None:
                continue
            last = self._pinned.setdefault(name, self.clock())
            if self.clock() - last <= self.catalogue.serving.retain_s:
                retained[name] = config
        return retained

    def _may_route(self, standings: Mapping[str, Standing], states: Mapping[str, AppState]) -> bool:
        """Whether a first gateway would find someone to ask: each served release's components run."""
        served = [standing.served for standing in standings.values() if standing.served is not None]
        apps = {app for release in served for app in component_apps(release.pin)}
        return bool(served) and all(app in states and states[app].status == "RUNNING" for app in apps)


def _waiting(standing: Standing) -> Iterator[Release]:
    """Rows whose components were not seen answering yet. The newest one first: only it can still fail."""
    if standing.trial is not None and not standing.tried:
        yield standing.trial
    if standing.served != standing.wanted:
        yield standing.wanted


def _pins(standing: Standing) -> list[Pin]:
    releases = (standing.served, standing.wanted, standing.trial)
    return [release.pin for release in releases if release is not None]
