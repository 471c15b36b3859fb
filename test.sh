#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. The last lines are ctest's summary, the exit status is ctest's.
#
#   ./test.sh               the release build
#   ./test.sh --sanitize    with the address and undefined behaviour sanitizers
#   ./test.sh --tsan        with the thread sanitizer
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

preset=release
for argument in "$@"; do
  case $argument in
    --sanitize) preset=asan ;;
    --tsan) preset=tsan ;;
    -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' test.sh; exit 0 ;;
    *) printf 'test.sh: unknown option %s (known: --sanitize, --tsan)\n' "$argument" >&2; exit 2 ;;
  esac
done

source tools/setup.sh
step "Packages" install_packages "${build_packages[@]}" "${test_packages[@]}"
step "Python" prepare_python "$preset"
step "Configure build/$preset" configure "$preset" -DQVL_BUILD_TESTS=ON "${python_options[@]}"
step "Build" build "$preset" all
echo "--> Test"
exec ctest --preset "$preset" --parallel "$(job_count)" </dev/null
