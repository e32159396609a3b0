"""What is kept on disk? The run folder: the interface between commands.

Everything is written to a temporary file and renamed, so that a run that is killed leaves either the old
file or the new one.
"""

from temperance.runs.files import make_folder, read_json, remove_partial, write_atomic, write_json

__all__ = ["make_folder", "read_json", "remove_partial", "write_atomic", "write_json"]
