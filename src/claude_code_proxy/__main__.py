"""`python -m claude_code_proxy`."""

import sys

from claude_code_proxy.cli import main

if __name__ == "__main__":  # the processes of --workers import this file, too
    sys.exit(main())
