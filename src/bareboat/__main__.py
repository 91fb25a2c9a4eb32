"""python -m bareboat."""

import sys

from bareboat.cli import main

sys.exit(main())
