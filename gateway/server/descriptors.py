"""How many files and connections this process may have open: as many as the system lets it."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

    def raise_file_limit() -> int:
        """Lift the soft limit to the hard one; children inherit it. Returns what holds now."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == hard:
            return soft
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems have a hard limit that they do not give
            return soft
        return hard

else:

    def raise_file_limit() -> int:
        return 0
