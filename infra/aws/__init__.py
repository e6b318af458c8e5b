"""What runs on AWS: the CloudFormation template, the package, and the deployment."""
