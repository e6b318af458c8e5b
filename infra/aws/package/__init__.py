"""The package: one zip for all functions, and the template."""

ARCHIVE = "deployment.zip"
TEMPLATE = "template.json"
