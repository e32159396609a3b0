"""The one error that people, not programs, caused."""


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
