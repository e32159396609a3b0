"""How do I use it in what I have? Other libraries' losses by their own names, computed here.

Each module is named after a library and holds classes with that library's names, constructors and calls, so
that one import line is all that changes:

>>> from temperance.integrations.lightly import NTXentLoss  # was: from lightly.loss import NTXentLoss

None of them imports the library it stands in for. What a library offers and cannot be computed exactly
without the matrix of all similarities raises ``InputError``. What each one calls τ: ``docs/libraries.md``.
"""
