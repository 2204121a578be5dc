"""`imewe audit`: what the log's notary signed, with which keys, and whether all is well."""

from ops.cli.reach import group

app = group("The log's proof: signed heads, keys, checks.")
