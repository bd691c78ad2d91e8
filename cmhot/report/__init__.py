"""How does a report come to be: notebooks executed by papermill, one page written."""
