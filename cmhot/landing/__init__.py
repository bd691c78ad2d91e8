"""Has an update landed? Looked at from inside every container that uses the object.

`looking` looks into one container, `onlookers` into those that have no `cat`,
`waiter` again and again into all of them, and `outcome` is how that ends.
"""
