"""Messages: the outbox and its relay, queues, and the batches that SQS delivers."""
