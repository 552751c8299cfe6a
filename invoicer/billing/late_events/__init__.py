"""Events that come after the invoice of their period was made final: found, priced, billed or given back.

`finding` lists them, `work` reads what is open, `pricing` prices its periods once more, and `lines` compares that
with what was billed. `invoicing` puts what is owed on the next invoice, `fees` makes its rows, `settling` corrects
at once, and `policy` says which of the two is wanted.
"""
