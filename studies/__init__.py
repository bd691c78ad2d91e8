"""Studies by simulation, whose results the documents and docstrings quote."""
