"""Reports: collect what is missing, execute the notebooks, write one page.

`make` knows the steps from an order to a page: `order` what is asked for,
`steps` which notebooks that means, `executing` how each is executed, `following` how
far a collection is, `ledger` what was done, so that a report can go on later,
`folder` that it is one process's alone, and whole.
`compose` knows what the page says: `drawn` its figures, `wording` and `provenance` its
sentences and its origin, `page` how it looks.
`comparing` sets two runs side by side, and `comparison_page` shows them.
"""
