#!/usr/bin/env bash
# Installs Debian packages, in the manner of scripts/hdf5.sh. Source it, then:
#
#   install_packages "why" LOG PACKAGE...      0: they are there; 1: not installed
#
# It says what it is about to install, and asks where a person sits at the terminal. FINESCALE_INSTALL=yes or =no
# answers in advance; without a terminal, or with CI=true, it goes on by itself. The packages' services are not started
# where the machine asks invoke-rc.d (containers); systemd starts those that find a configuration in /etc.

# may_install WHY WHAT: true if WHAT may be installed.
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

# What apt would install now, as lines of NAME=VERSION; nothing if it does not know the packages.
apt_plan() {
    { LC_ALL=C apt-get install --simulate --no-install-recommends "$@" 2> /dev/null || true; } |
        sed -n 's/^Inst \([^ ]*\) [^(]*(\([^ ]*\) .*/\1=\2/p'
}

install_packages() {
    local why=$1 log=$2 plan names
    shift 2
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    plan=$(apt_plan "$@")
    # Fresh containers have no package lists.
    [ -n "$plan" ] || { apt-get update >> "$log" 2>&1 && plan=$(apt_plan "$@") && [ -n "$plan" ]; } || return 1
    # The plan's packages that are named; the others are what they need.
    names=$(grep -E "^($(IFS='|' && echo "$*"))=" <<< "$plan" | tr '\n' ' ')
    may_install "$why" "${names}by apt-get, with what they need (packages: $(grep -c = <<< "$plan"))" || return 1
    # shellcheck disable=SC2086 # a list
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $names \
        < /dev/null >> "$log" 2>&1 && return 0
    # Old lists name files that the server no longer has.
    echo "Once more with new package lists." >&2
    { apt-get update &&
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        < /dev/null >> "$log" 2>&1 && return 0
    echo "Failed: apt-get install $* (what it printed is at the end of $log)" >&2
    return 1
}
