"""`python -m sweeps.cli` is `lnt`."""

import sys

from sweeps.cli.main import main

sys.exit(main())
