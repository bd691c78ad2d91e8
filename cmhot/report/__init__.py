"""Reports: collect what is missing, execute the notebooks, write one page.

`make` knows the steps, `order` what is to be collected, `following` how far it is,
`compose` what the page says, `wording` and `provenance` its sentences and its origin,
`page` how it looks.
"""
