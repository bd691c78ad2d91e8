"""Has an update landed? Looked at from inside every container that uses the object.

`looking` looks into one container, `onlookers` into those that have no `cat`,
`waiter` again and again into all of them; `coming` says which pods are yet to come,
and `outcome` is how it ends.
"""
