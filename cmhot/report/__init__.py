"""How does a report come to be: notebooks executed by papermill, one page written.

`steps` chooses the notebooks, their values and how long they take; `notebooks` executes
one; `make` puts them together, in a `folder`.
`sections` composes what the page says, `page` writes it as HTML.
`comparison_page` is another page: two runs, before and after a change.
"""
