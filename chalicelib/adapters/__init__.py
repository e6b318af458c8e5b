"""Adapters: external services (SNS, SQS, SES, Stripe) behind the ports of the app."""
