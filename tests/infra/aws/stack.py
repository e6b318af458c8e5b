"""Evaluates a template as CloudFormation would: conditions, references and intrinsic functions."""

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
    """A template with its parameters."""

    template: dict[str, Any]
    given: dict[str, str]
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    """Values of attributes, by logical name and attribute. `Ref` counts as an attribute."""

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of a type's resources whose condition holds, by logical name."""
        return {
            name: self.resolve(resource["Properties"])
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    def resolve(self, value: Any) -> Any:
        """Evaluate intrinsic functions and drop properties without a value."""
        if isinstance(value, list):
            return [part for item in value if (part := self.resolve(item)) is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {key: self.resolve(argument) for key, argument in value.items()}
        return {key: argument for key, argument in resolved.items() if argument is not None}

    def _call(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                result = self._reference(argument)
            case "Fn::GetAtt":
                result = self._attribute(*argument)
            case "Fn::Sub":
                result = self._substitute(argument)
            case "Fn::If":
                result = self.resolve(argument[1] if self._holds(argument[0]) else argument[2])
            case "Fn::FindInMap":
                mapping, first, second = (self.resolve(part) for part in argument)
                result = self.template["Mappings"][mapping][first][second]
            case "Fn::Join":
                result = argument[0].join(self.resolve(argument[1]))
            case _:
                result = {function: self.resolve(argument)}
        return result

    def _reference(self, name: str) -> Any:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self.template["Parameters"]:
            return self.given.get(name, self.template["Parameters"][name].get("Default"))
        return self._attribute(name, "Ref")

    def _attribute(self, name: str, attribute: str) -> str:
        return self.known.get((name, attribute), f"{name}.{attribute}")

    def _substitute(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if name in values:
                return str(self.resolve(values[name]))
            return str(self._attribute(*name.split(".")) if "." in name else self._reference(name))

        return re.sub(r"\$\{([^}!]+)\}", replacement, text)

    def _holds(self, condition: Any) -> bool:
        """Evaluate a condition, given by name or as an expression."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self._holds(self.template["Conditions"][condition])
        ((function, argument),) = condition.items()
        if function == "Condition":
            return self._holds(argument)
        if function == "Fn::Equals":
            return bool(self.resolve(argument[0]) == self.resolve(argument[1]))
        if function == "Fn::Not":
            return not self._holds(argument[0])
        assert function == "Fn::And"
        return all(self._holds(part) for part in argument)
