"""From delays to a table of quantiles, each with its interval and its law."""
