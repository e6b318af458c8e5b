"""The package: one zip for all functions, and the template."""

ARCHIVE = "deployment.zip"
TEMPLATE = "template.json"
AUTHORITIES = "rds-ca.pem"
"""Root certificates that sign the certificates of RDS, one per region, in the folder of the package."""
LAMBDA_FOLDER = "/var/task"
"""Where Lambda unpacks the zip."""
