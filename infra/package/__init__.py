"""The package: the zip that all functions run from, and the template beside it."""

ARCHIVE = "deployment.zip"
TEMPLATE = "template.json"
