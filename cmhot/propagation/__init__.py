"""Has one change arrived: apply, patch, explain, observe, wait and refresh."""
