"""`python -m errpath.cli`."""

import sys

from errpath.cli.main import main

sys.exit(main())
