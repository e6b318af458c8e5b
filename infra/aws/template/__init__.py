"""The CloudFormation template, except for the parts that Chalice makes."""
