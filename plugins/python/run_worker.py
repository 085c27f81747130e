"""One worker of the Python runtime. Started by the server; see leadsman_worker/main.py."""
import sys

from leadsman_worker.main import main

sys.path.pop(0)  # this folder: the model's own modules must not meet ours
sys.exit(main())
