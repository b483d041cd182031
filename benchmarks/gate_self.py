"""The project gates itself: the working tree against the last release, or against where its branch began.

``python benchmarks/gate_self.py [--against REF] [--minutes 2] [words of bench gate]``. Without ``--against`` it is the
last tag ``v*``, else the merge base with ``origin/main``, else the commit before. The exit status is that of
``bench gate``; a revision that is older than the gate itself is said to be so and passes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_MEASURABLE = 5
MODELS = "classical.svm,meamtm.micro"


def git(*words: str) -> str:
    """What git says, empty where it has nothing to say."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def reference() -> str:
    """What to compare with."""
    head = git("rev-parse", "HEAD")
    tries = (("describe", "--tags", "--abbrev=0", "--match", "v*"), ("merge-base", "origin/main", "HEAD"))
    found = next((ref for words in tries if (ref := git(*words)) and git("rev-parse", f"{ref}^{{commit}}") != head), "")
    return found or git("rev-parse", "--verify", "--quiet", "HEAD~1")


def main() -> int:
    """Run the gate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="", help="commit, branch or tag")
    parser.add_argument("--minutes", default="2")
    args, more = parser.parse_known_args()
    ref = args.against or reference()
    if not ref:
        print("nothing to compare with: no tag, no origin/main, no earlier commit")
        return 0
    command = [sys.executable, "-P", "-m", "bench", "gate", "--against", ref, "--models", MODELS, "--device", "cpu"]
    done = subprocess.run([*command, "--minutes", args.minutes, *more], cwd=ROOT, check=False)
    if done.returncode == NOT_MEASURABLE and not args.against:
        print(f"{ref} cannot be measured in turns; nothing was gated")
        return 0
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
