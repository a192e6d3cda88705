"""Whether this process can open anything: a fault may have taken all its descriptors."""

import errno
import os


def exhausted() -> bool:
    """Tell whether the process is out of descriptors at this moment (EMFILE)."""
    try:
        os.close(os.dup(2))
    except OSError as failure:
        return failure.errno in (errno.EMFILE, errno.ENFILE)
    return False
