# What test.sh and demo.sh share: the list of packages, and steps that say what they do and how long it took.
# Sourced, never run: expects the repository root as the current folder.

# The one list of what qvl needs (cmake/QvlDependencies.cmake finds the same libraries).
build_packages=(build-essential cmake ninja-build pkg-config python3
  libfmt-dev nlohmann-json3-dev libcli11-dev libutf8proc-dev libxxhash-dev
  libjpeg62-turbo-dev libpng-dev libwebp-dev libgif-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)
test_packages=(libgtest-dev libgmock-dev clang-format python3-dev python3-venv)

# The scripts read numbers and messages of programs: a user's language must not change them.
export LC_ALL=C.UTF-8

# step TITLE COMMAND...: runs a command between a line that names it and a line with the time it took.
step() {
  local title=$1 begin=$EPOCHREALTIME
  shift
  printf -- '--> %s\n' "$title"
  "$@" || { local status=$?; printf 'Failed: %s (exit status %d)\n' "$title" "$status" >&2; exit "$status"; }
  local ms=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
  printf '    %s: %d.%d s\n' "$title" $((ms / 1000)) $((ms % 1000 / 100))
}

# missing_packages PACKAGE...: those that are not installed, one on a line.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || printf '%s\n' "$package"
  done
}

apt_install() {
  local as_root=()
  [[ $EUID == 0 ]] || as_root=(sudo)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq update </dev/null &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq install -y \
      -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null >/dev/null
}

# May this user become root without a question nobody is there to answer?
may_install() {
  [[ $EUID == 0 ]] && return
  command -v sudo >/dev/null || return 1
  if [[ -t 0 && -z ${CI:-} ]]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

# install_packages PACKAGE...: those that are missing; asks nothing and calls no apt where all are there.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system: no packages are installed; the configuration says what it misses."
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    echo "    all $# packages are installed"
    return
  fi
  printf '    missing:'
  printf ' %s' "${missing[@]}"
  printf '\n'
  if ! may_install; then
    {
      echo "Installing packages needs root rights. Run this once, then start again:"
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    } >&2
    return 1
  fi
  apt_install "${missing[@]}"
}

# How many compilers or tests may run at once: the processors we may use, and two gigabytes of memory for each.
job_count() {
  local processors memory_jobs=1024 key value
  processors=$(nproc)
  while read -r key value _; do
    [[ $key == MemAvailable: ]] && memory_jobs=$((value / 2000000))
  done </proc/meminfo
  ((memory_jobs < 1)) && memory_jobs=1
  echo $((processors < memory_jobs ? processors : memory_jobs))
}

# What the Python package is built and tested with, nanobind and NumPy, is not in Debian 12 (or too old): it is kept in build/venv.
# Where it cannot be had (no network, Python before 3.10) the package is left out, and a line says why.
python_options=(-DQVL_BUILD_PYTHON=OFF)
prepare_python() {
  local preset=$1 python=build/venv/bin/python
  if [[ $preset != release ]]; then
    echo "    the Python package is left out: it is built without sanitizers"
    return
  fi
  if ! "$python" -c 'import nanobind, numpy' 2>/dev/null; then
    mkdir -p build
    if ! make_python_environment >build/venv.log 2>&1; then
      printf '    the Python package is left out: %s\n' "$(tail -n 1 build/venv.log)"
      return
    fi
  fi
  # Forgets what an earlier configuration found for another interpreter.
  python_options=(-U "*Python_*" -U "nanobind_*" -DQVL_BUILD_PYTHON=ON -DPython_EXECUTABLE="$PWD/$python")
}

make_python_environment() {
  python3 -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python " + sys.version.split()[0] + " is older than 3.10")' &&
    python3 -m venv --clear build/venv &&
    build/venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20 nanobind numpy </dev/null
}

# configure PRESET OPTION...: CMake's messages are shown where it fails or finds something new.
configure() {
  local preset=$1 log
  shift
  log=$(cmake --preset "$preset" "$@" 2>&1 </dev/null) || { printf '%s\n' "$log" >&2; return 1; }
}

# build PRESET TARGET
build() {
  cmake --build --preset "$1" --target "$2" --parallel "$(job_count)" </dev/null
}
