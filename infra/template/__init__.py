"""The CloudFormation template, but for what Chalice makes: a fragment that it merges into its own."""
