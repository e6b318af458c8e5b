"""The world outside, through boto3: the only modules that import it."""
