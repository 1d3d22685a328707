"""`python -m oneshot` is the command `oneshot`."""

import sys

from oneshot.cli import main

sys.exit(main())
