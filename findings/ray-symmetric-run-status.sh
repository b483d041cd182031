#!/usr/bin/env bash
# Where `ray symmetric-run` cannot start Ray, it runs nothing and ends with status 0: a batch system calls that completed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
cd "$folder"
export RAY_USAGE_STATS_ENABLED=0 PATH="$folder/venv/bin:$PATH"
# In a process namespace of its own, since it ends with `ray stop`, which stops every Ray of the user.
apart=(unshare --user --map-root-user --pid --fork --mount-proc --kill-child)
status=0
"${apart[@]}" ray symmetric-run --address 127.0.0.1:6391 --num-cpus none -- touch ran >out.txt 2>&1 || status=$?
version=$(python -W ignore -c "import ray; print(ray.__version__)")
ran=$([ -e ran ] && echo ran || echo "did not run")
echo "ray $version symmetric-run, ray start refused its options: the command $ran, status $status"
grep -i "failed to start" out.txt | cut -c1-100
[ "$version $ran $status" = "2.60.0 did not run 0" ] && grep -q "Failed to start Ray" out.txt
