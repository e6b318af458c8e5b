"""Settings of the PostgreSQL server. The app relies on them, and makes none per session."""

SERVER_SETTINGS = {
    "statement_timeout": "10000",
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "30000",
    "timezone": "UTC",
    # A request keeps one core of the database busy, and its cost does not jump at an estimate.
    "max_parallel_workers_per_gather": "0",
    "jit": "0",
    # The log has no values of rows or statements, because these contain names and e-mail addresses.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""Times in milliseconds and switches in digits, as the parameter groups of RDS require."""
