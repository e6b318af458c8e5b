"""A stack as CloudFormation would see it: conditions decided, references and texts resolved."""

import re
from dataclasses import dataclass, field
from typing import Any

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's

_PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::StackName": "event-booking",
    "AWS::NoValue": None,
}


@dataclass
class Stack:
    """A template, with the parameters that were given; `known` has what a resource's attributes are."""

    template: dict[str, Any]
    given: dict[str, str]
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    """By logical name and attribute; `Ref` is one."""

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of a type that the conditions let be, by logical name."""
        return {
            name: self.resolve(resource["Properties"])
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind and self._is(resource.get("Condition"))
        }

    def resolve(self, value: Any) -> Any:
        """Replace all that CloudFormation would; what it would leave out is left out."""
        if isinstance(value, list):
            return [part for item in value if (part := self.resolve(item)) is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (word, inner), *_ = value.items()
            if word == "Ref" or word.startswith("Fn::"):
                return self._call(word, inner)
        resolved = {key: self.resolve(inner) for key, inner in value.items()}
        return {key: inner for key, inner in resolved.items() if inner is not None}

    def _call(self, word: str, inner: Any) -> Any:
        match word:
            case "Ref":
                result = self._reference(inner)
            case "Fn::GetAtt":
                result = self._attribute(*inner)
            case "Fn::Sub":
                result = self._substituted(inner)
            case "Fn::If":
                result = self.resolve(inner[1] if self._is(inner[0]) else inner[2])
            case "Fn::FindInMap":
                mapping, first, second = (self.resolve(part) for part in inner)
                result = self.template["Mappings"][mapping][first][second]
            case "Fn::Join":
                result = inner[0].join(self.resolve(inner[1]))
            case _:
                result = {word: self.resolve(inner)}
        return result

    def _reference(self, name: str) -> Any:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self.template["Parameters"]:
            return self.given.get(name, self.template["Parameters"][name].get("Default"))
        return self._attribute(name, "Ref")

    def _attribute(self, name: str, attribute: str) -> str:
        return self.known.get((name, attribute), f"{name}.{attribute}")

    def _substituted(self, inner: Any) -> str:
        text, values = (inner, {}) if isinstance(inner, str) else inner

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name in values:
                return str(self.resolve(values[name]))
            return str(self._attribute(*name.split(".")) if "." in name else self._reference(name))

        return re.sub(r"\$\{([^}!]+)\}", replaced, text)

    def _is(self, condition: Any) -> bool:
        """Decide a condition, by its name or as it is written."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self._is(self.template["Conditions"][condition])
        ((word, inner),) = condition.items()
        if word == "Condition":
            return self._is(inner)
        if word == "Fn::Equals":
            return bool(self.resolve(inner[0]) == self.resolve(inner[1]))
        if word == "Fn::Not":
            return not self._is(inner[0])
        assert word == "Fn::And"
        return all(self._is(part) for part in inner)
