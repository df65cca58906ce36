#!/usr/bin/env bash
# OpenWrt packages for one Rust target or one OpenWrt architecture:
#   cross/package.sh ipk|apk TARGET|ARCH|all [minimal|release] [lite|full]
# Builds the binary first. Packages land in target/cross/packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=$(dirname "$here")/target/cross
kind=$1 wanted=${2:-all} profile=${3:-minimal} features=${4:-lite}

packaged=0
while read -r arch target _; do
    case $wanted in all | "$arch" | "$target") ;; *) continue ;; esac
    binary=$output/bin/smol-mtproxy-$target-$profile-$features
    if [ "${built:-}" != "$target" ]; then
        "$here/build.sh" "$target" "$profile" "$features"
        built=$target
    fi
    python3 "$here/package.py" "$kind" "$features" "$arch" "$binary" "$output/packages"
    packaged=$((packaged + 1))
done < <(grep -v '^#' "$here/openwrt/arches")

if [ "$packaged" = 0 ]; then
    echo "cross/package.sh: '$wanted' is neither a target nor an architecture in cross/openwrt/arches" >&2
    exit 2
fi
