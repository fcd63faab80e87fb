#!/usr/bin/env bash
# How scripts install what is missing: packages by apt-get when we are root, or wheels from PyPI in target/. Source it.
#
# They say what they are about to install, and ask where a person sits at the terminal. FINESCALE_INSTALL=yes or =no
# answers in advance; without a terminal, or with CI=true, they go on by themselves.

install_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What apt and pip print.
install_log=$install_root/target/install.log

# may_install PURPOSE WHAT: true if WHAT may be installed.
may_install() {
    echo "$1, this is to be installed: $2." >&2
    case ${FINESCALE_INSTALL:-} in
        yes) return 0 ;;
        no) echo "Left out: FINESCALE_INSTALL=no." >&2 && return 1 ;;
        "") ;;
        *) echo "FINESCALE_INSTALL=$FINESCALE_INSTALL: say yes or no; not installed." >&2 && return 1 ;;
    esac
    if [ "${CI:-}" = true ] || ! [ -t 0 ] || ! [ -t 2 ]; then
        echo "Nobody to ask here, so it goes on (FINESCALE_INSTALL=no would not)." >&2
        return 0
    fi
    local answer
    read -r -p "Install it? [y/N] " answer || return 1
    case $answer in [yY]*) return 0 ;; esac
    echo "Left out." >&2
    return 1
}

# install_logged COMMAND...: runs it with its output in the log, which is named if it fails.
install_logged() {
    mkdir -p "$(dirname "$install_log")" && printf '\n$ %s\n' "$*" >> "$install_log" || return 1
    "$@" < /dev/null >> "$install_log" 2>&1 && return 0
    echo "Failed: $* (what it printed is at the end of $install_log)" >&2
    return 1
}

# apt_plan PACKAGE...: what apt would install now, as lines of NAME=VERSION; nothing if it does not know the packages.
apt_plan() {
    { LC_ALL=C apt-get install --simulate --no-install-recommends "$@" 2> /dev/null || true; } |
        sed -n 's/^Inst \([^ ]*\) [^(]*(\([^ ]*\) .*/\1=\2/p'
}

# apt_named PLAN PACKAGE...: the plan's packages that we name ourselves; the others are what they need.
apt_named() {
    local plan=$1
    shift
    grep -E "^($(IFS='|' && echo "$*"))=" <<< "$plan" | tr '\n' ' '
}

# apt_install_plan PLAN PACKAGE...: installs the plan, in the very versions that were announced.
apt_install_plan() {
    local names
    names=$(apt_named "$@")
    # shellcheck disable=SC2086 # a list
    install_logged env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $names
}

# install_by_apt PURPOSE PACKAGE...
install_by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    local purpose=$1 plan
    shift
    plan=$(apt_plan "$@")
    # Fresh containers have no package lists.
    [ -n "$plan" ] || { install_logged apt-get update && plan=$(apt_plan "$@") && [ -n "$plan" ]; } || return 1
    may_install "$purpose" "$(apt_named "$plan" "$@")by apt-get, with what they need (packages: $(grep -c = <<< "$plan"))" ||
        return 1
    apt_install_plan "$plan" "$@" && return 0
    # Old lists name files that the server no longer has.
    install_logged apt-get update && plan=$(apt_plan "$@") && [ -n "$plan" ] || return 1
    echo "Once more with new package lists: $(apt_named "$plan" "$@")" >&2
    apt_install_plan "$plan" "$@"
}

# install_wheel FOLDER NAME==VERSION SHA256...: from PyPI in a Python environment of its own: this version, these files, or
# nothing.
install_wheel() {
    local folder=$1 requirement=$2
    shift 2
    mkdir -p "$(dirname "$folder")" && install_logged python3 -m venv "$folder" &&
        echo "$requirement$(printf ' --hash=sha256:%s' "$@")" > "$folder/requirements.txt" &&
        install_logged "$folder/bin/pip" install --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
            --requirement "$folder/requirements.txt" && return 0
    rm -rf "$folder"
    return 1
}
