"""The errors that people, not programs, caused."""


class InputError(ValueError):
    """Something given from outside cannot be used.

    The message is one line that names the input, the fault and the remedy; the command line prints it
    and ends with exit code 2.

    Example:
        >>> raise InputError("temperature 0 is not positive; give a number above 0, such as 0.1")
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: temperature 0 is not positive; give a number above 0, such as 0.1
    """


class NotFinite(InputError):
    """Vectors hold nan or infinity; where they come from is not known where that is seen.

    Example:
        >>> raise NotFinite(3, "queries")
        Traceback (most recent call last):
        ...
        temperance.errors.NotFinite: row 3 of queries holds nan or infinity; look at what made it
    """

    def __init__(self, row: int, name: str) -> None:
        super().__init__(f"row {row} of {name} holds nan or infinity; look at what made it")
