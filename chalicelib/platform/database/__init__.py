"""PostgreSQL: connections, transactions, lists, and rows rendered as JSON."""
