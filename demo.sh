#!/usr/bin/env bash
# Installs what is missing, builds the qvl command, and shows what it says about pictures.
#
#   ./demo.sh                                          the sample pictures and the small model of the project
#   ./demo.sh --model PATH --image FILE [QUESTION]     your checkpoint (a Qwen3-VL folder or .gguf), your picture
#             [--mmproj FILE]                          the vision file beside a .gguf
set -euo pipefail
called_from=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

for argument in "$@"; do
  case $argument in
    -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' demo.sh; exit 0 ;;
  esac
done

source tools/setup.sh
step "Packages" install_packages "${build_packages[@]}"
# The demonstration needs no tests; where test.sh has configured them already they stay.
first=()
[[ -e build/release/CMakeCache.txt ]] || first=(-DQVL_BUILD_TESTS=OFF)
step "Configure build/release" configure release "${first[@]}"
step "Build" build release qvl_cli
exec python3 -B -u tools/demo.py --called-from "$called_from" "$@" </dev/null
