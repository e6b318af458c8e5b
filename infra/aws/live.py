"""What serves in a deployed stack: stop and start all of it, or go back to the release before.

`make freeze`, `make thaw` and `make rollback` call this module.
"""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.function_table import ALIAS, TABLE, Function

PREVIOUS = "previous"
"""The alias of the version that served before the last deployment."""

_SERVING = tuple(function for function in TABLE if not function.is_called_directly)
_KEEPER = "Operate"
"""The function whose tags keep the states from before a freeze. It is never frozen."""
_TAG = "frozen:"
_UNLIMITED = "unreserved"
_ON, _OFF = "on", "off"
_DISABLING_SECONDS = 180
"""Lambda takes up to a minute to stop polling a queue."""


class NotPossible(Exception):
    """The stack cannot be changed like this. The message says what to do."""


@dataclass(frozen=True)
class Part:
    """A schedule, the poller of a queue, or a function: something that a freeze stops."""

    name: str
    """The logical name."""
    read: Callable[[], str]
    set: Callable[[str], None]
    stopped: str
    """The state that `set` gets in a freeze."""


class Live:
    """A deployed stack.

    Raises:
        NotPossible: The stack has no functions.
    """

    def __init__(self, stack: str) -> None:
        self._lambda: Any = boto3.client("lambda")
        self._events: Any = boto3.client("events")
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        self._resources: list[Any] = [one for page in pages for one in page["StackResourceSummaries"]]
        self._physical = {
            one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in self._resources
        }
        if _KEEPER not in self._physical:
            raise NotPossible(f"{stack} is not a stack of this project")

    def freeze(self, only: Collection[str] = (), *, dry_run: bool = False) -> Iterator[str]:
        """Stop schedules, pollers of queues, and functions. Yield what is stopped. Idempotent.

        Each state is stored before it is changed, so that a freeze that was interrupted is completed by
        another one, and a thaw restores what was.
        """
        kept = self._kept()
        parts = list(self._parts(only))
        callers = [part for part in parts if part.stopped == _OFF]
        for part in callers:
            yield self._stop(part, kept.get(part.name), dry_run=dry_run)
        if not dry_run:
            # A message that a poller gives to a frozen function counts an attempt.
            _wait(lambda: all(part.read() == _OFF for part in callers))
        for part in parts[len(callers) :]:
            yield self._stop(part, kept.get(part.name), dry_run=dry_run)

    def thaw(self, only: Collection[str] = (), *, dry_run: bool = False) -> Iterator[str]:
        """Restore the states from before the freeze: functions first, schedules last. Idempotent."""
        kept = self._kept()
        for part in reversed(list(self._parts(only))):
            if part.name in kept:
                yield f"{part.name}: {part.stopped} -> {kept[part.name]}"
                if not dry_run:
                    part.set(kept[part.name])
                    self._untag(f"{_TAG}{part.name}")

    def versions(self, alias: str = ALIAS) -> dict[str, str]:
        """Return the version of each function to which an alias points."""
        found = {}
        for function in _SERVING:
            name = self._physical.get(function.logical_name)
            if name and (version := self._version(name, alias)):
                found[function.name] = version
        return found

    def remember(self, before: Mapping[str, str]) -> None:
        """Let `previous` point to the versions before a deployment, unless this has changed nothing."""
        if before and self.versions() != before:
            for function, version in before.items():
                self._point(function, PREVIOUS, version)

    def roll_back(self, *, dry_run: bool = False) -> Iterator[str]:
        """Let all functions serve the release before the last deployment. Yield what changes. Idempotent.

        Raises:
            NotPossible: There is no earlier release.
        """
        live, previous = self.versions(), self.versions(PREVIOUS)
        if previous.keys() != live.keys():
            raise NotPossible("No release before the last one is known. Deploy the earlier version instead.")
        for function, version in previous.items():
            yield f"{function}: version {live[function]} -> {version}"
            if not dry_run:
                self._point(function, ALIAS, version)

    def _parts(self, only: Collection[str]) -> Iterator[Part]:
        """List what a freeze stops, in this order: what calls the functions, then the functions."""
        functions = [function for function in _SERVING if not only or function.name in only]
        kinds = {"AWS::Events::Rule": self._schedule, "AWS::Lambda::EventSourceMapping": self._poller}
        for kind, part in kinds.items():
            for one in self._resources:
                if one["ResourceType"] == kind and _is_of(one["LogicalResourceId"], functions):
                    yield part(one["LogicalResourceId"])
        yield from (self._function(function) for function in functions)

    def _stop(self, part: Part, kept: str | None, *, dry_run: bool) -> str:
        before = kept or part.read()
        if not dry_run:
            if kept is None:
                self._tag({f"{_TAG}{part.name}": before})
            part.set(part.stopped)
        return f"{part.name}: {before} -> {part.stopped}"

    def _schedule(self, name: str) -> Part:
        rule = self._physical[name]

        def switch(state: str) -> None:
            (self._events.enable_rule if state == _ON else self._events.disable_rule)(Name=rule)

        return Part(
            name,
            lambda: _ON if self._events.describe_rule(Name=rule)["State"] == "ENABLED" else _OFF,
            switch,
            _OFF,
        )

    def _poller(self, name: str) -> Part:
        mapping = self._physical[name]

        def state() -> str:
            return str(self._lambda.get_event_source_mapping(UUID=mapping)["State"])

        def switch(wanted: str) -> None:
            self._lambda.update_event_source_mapping(UUID=mapping, Enabled=wanted == _ON)

        return Part(name, lambda: _OFF if state() == "Disabled" else _ON, switch, _OFF)

    def _function(self, function: Function) -> Part:
        name = self._physical[function.logical_name]

        def read() -> str:
            reserved = self._lambda.get_function_concurrency(FunctionName=name)
            return str(reserved.get("ReservedConcurrentExecutions", _UNLIMITED))

        def reserve(state: str) -> None:
            if state == _UNLIMITED:
                self._lambda.delete_function_concurrency(FunctionName=name)
            else:
                self._lambda.put_function_concurrency(
                    FunctionName=name, ReservedConcurrentExecutions=int(state)
                )

        return Part(function.logical_name, read, reserve, "0")

    def _keeper(self) -> str:
        found = self._lambda.get_function(FunctionName=self._physical[_KEEPER])
        return str(found["Configuration"]["FunctionArn"])

    def _kept(self) -> dict[str, str]:
        tags = self._lambda.list_tags(Resource=self._keeper()).get("Tags", {})
        return {key.removeprefix(_TAG): value for key, value in tags.items() if key.startswith(_TAG)}

    def _tag(self, tags: dict[str, str]) -> None:
        self._lambda.tag_resource(Resource=self._keeper(), Tags=tags)

    def _untag(self, key: str) -> None:
        self._lambda.untag_resource(Resource=self._keeper(), TagKeys=[key])

    def _version(self, name: str, alias: str) -> str | None:
        try:
            version: str = self._lambda.get_alias(FunctionName=name, Name=alias)["FunctionVersion"]
        except self._lambda.exceptions.ResourceNotFoundException:
            return None
        return version

    def _point(self, function: str, alias: str, version: str) -> None:
        (logical_name,) = (one.logical_name for one in _SERVING if one.name == function)
        name = self._physical[logical_name]
        if self._version(name, alias) is None:
            self._lambda.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
        else:
            self._lambda.update_alias(
                FunctionName=name,
                Name=alias,
                FunctionVersion=version,
                RoutingConfig={"AdditionalVersionWeights": {}},
            )


def _is_of(logical_name: str, functions: Collection[Function]) -> bool:
    """Whether it is a schedule or poller of a function, after which Chalice and SAM name it twice."""
    return any(logical_name.startswith(function.logical_name * 2) for function in functions)


def _wait(is_done: Callable[[], bool]) -> None:
    until = time.monotonic() + _DISABLING_SECONDS
    while not is_done() and time.monotonic() < until:
        time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make")
    parser.add_argument("command", choices=("freeze", "thaw", "rollback"))
    parser.add_argument("--stack", required=True)
    parser.add_argument("--only", default="", help="names of functions, separated by commas")
    parser.add_argument("--dry-run", choices=("yes", "no"), default="no")
    given = parser.parse_args()
    only, dry_run = tuple(filter(None, given.only.split(","))), given.dry_run == "yes"
    if unknown := set(only) - {function.name for function in _SERVING}:
        sys.exit(f"There is no function {', '.join(sorted(unknown))} to stop.")
    try:
        live = Live(given.stack)
        changes = {
            "freeze": lambda: live.freeze(only, dry_run=dry_run),
            "thaw": lambda: live.thaw(only, dry_run=dry_run),
            "rollback": lambda: live.roll_back(dry_run=dry_run),
        }
        for line in changes[given.command]():
            print(line, flush=True)
    except (NotPossible, BotoCoreError, ClientError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
