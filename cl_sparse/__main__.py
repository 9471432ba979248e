"""``python -m cl_sparse`` is ``cl-sparse``, for where the command is not on the path."""

import sys

from cl_sparse.start import main

sys.exit(main())
