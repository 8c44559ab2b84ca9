#!/usr/bin/env bash
# Builds the sdist and, out of the sdist, one wheel for each interpreter, into $DIST (dist/).
#   wheels/build.sh [PYTHON ...]
# The first PYTHON has the test group of pyproject.toml; the others need nothing but pip: a wheel
# is built in an environment of its own that holds the build requirements and no more.
# With auditwheel and patchelf on PATH (a manylinux container has them) the wheels get the tag of
# the oldest glibc that they run on; without, they keep the tag of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DIST=${DIST:-dist}
pythons=("$@")
[ ${#pythons[@]} -gt 0 ] || pythons=(python3)

rm -rf "$DIST"
mkdir -p "$DIST"
"${pythons[0]}" -m build --sdist --no-isolation --outdir "$DIST" . >"$DIST/sdist.log" 2>&1 || {
    cat "$DIST/sdist.log" >&2
    exit 1
}
rm "$DIST/sdist.log"
for python in "${pythons[@]}"; do
    "$python" -m pip wheel -q --no-deps --no-cache-dir --wheel-dir "$DIST" "$DIST"/wsfast-*.tar.gz
done
if command -v auditwheel >/dev/null && command -v patchelf >/dev/null; then
    for wheel in "$DIST"/*-linux_*.whl; do
        auditwheel repair --wheel-dir "$DIST" "$wheel"
        rm "$wheel"
    done
fi
ls -l "$DIST"
