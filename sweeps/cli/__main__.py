"""Makes `python -m sweeps.cli` run `lnt`."""

import sys

from sweeps.cli.main import main

sys.exit(main())
