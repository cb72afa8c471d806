"""`python -m positcore` is the `positcore` command."""

import sys

from positcore.cli import main

sys.exit(main())
