#!/usr/bin/env bash
# Installs what is missing, builds the qvl command, and shows what it says about pictures.
#
#   ./demo.sh                                          the sample pictures and the small model of the project
#   ./demo.sh --model PATH --image FILE [QUESTION]     your checkpoint (a Qwen3-VL folder or .gguf), your picture
#             [--video FILE] [--mmproj FILE]           a video; the vision file beside a .gguf
set -euo pipefail
called_from=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

# What is wrong with the options is said before anything is installed. tools/demo.py reads them again, for Python may be
# among the packages that are missing.
refuse() {
  printf 'demo.sh: %s; see demo.sh --help\n' "$1" >&2
  exit 2
}
questions=0
arguments=("$@")
while ((${#arguments[@]} > 0)); do
  case ${arguments[0]} in
    -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' demo.sh; exit 0 ;;
    --model | --mmproj | --image | --video)
      ((${#arguments[@]} > 1)) || refuse "${arguments[0]} needs a value"
      arguments=("${arguments[@]:1}")
      ;;
    --model=* | --mmproj=* | --image=* | --video=*) ;;
    -?*) refuse "unknown option ${arguments[0]}" ;;
    *) ((++questions)) ;;
  esac
  arguments=("${arguments[@]:1}")
done
((questions <= 1)) || refuse "$questions questions given, expected one"

source tools/setup.sh
step "Packages" install_packages "${build_packages[@]}"
# The demonstration needs no tests; where test.sh has configured them already they stay.
first=()
[[ -e build/release/CMakeCache.txt ]] || first=(-DQVL_BUILD_TESTS=OFF)
step "Configure build/release" configure release "${first[@]}"
step "Build" build release qvl_cli
exec python3 -B -u tools/demo.py --called-from "$called_from" "$@" </dev/null
