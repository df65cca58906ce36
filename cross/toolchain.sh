# shellcheck shell=bash
# Sourced by cross/build.sh and cross/test.sh: a cross compiler for musl out of
# package registries alone. Debian's rustc-web with its std source (rebuilt for
# the target, as no rustup target exists for MIPS), zig from PyPI as C compiler
# and linker. Everything that is not a Debian package lands in .cache/cross.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$ROOT/.cache/cross
ZIG_VERSION=0.17.1
ZIGBUILD_VERSION=0.24.0
ALL_TARGETS=(
    aarch64-unknown-linux-musl
    armv7-unknown-linux-musleabihf
    mipsel-unknown-linux-musl
    mips-unknown-linux-musl
    x86_64-unknown-linux-musl
)

prepare_toolchain() {
    sh "$ROOT/cross/setup.sh" cross
    check_std_source
    install_zig
    use_toolchain
}

check_std_source() {
    local compiler source
    compiler=$(upstream_version rustc-web)
    source=$(upstream_version rust-web-src)
    if [ "$compiler" != "$source" ]; then
        echo "cross: rustc-web is $compiler but rust-web-src is $source: apt-get install rustc-web rust-web-src" >&2
        exit 1
    fi
}

upstream_version() { dpkg-query -Wf '${Version}' "$1" | sed 's/+dfsg.*//'; }

install_zig() {
    local python=$CACHE/venv/bin/python
    [ "$("$python" -m ziglang version 2>/dev/null)" = "$ZIG_VERSION" ] &&
        [ -x "$CACHE/venv/bin/cargo-zigbuild" ] && return
    echo "cross: fetching zig $ZIG_VERSION and cargo-zigbuild $ZIGBUILD_VERSION" >&2
    mkdir -p "$CACHE"
    /usr/bin/python3 -m venv "$CACHE/venv"
    "$CACHE/venv/bin/pip" -q install "ziglang==$ZIG_VERSION" "cargo-zigbuild==$ZIGBUILD_VERSION"
}

# Debian's cargo and rustc must win over rustup's; nothing of the caller's
# settings may leak in.
use_toolchain() {
    mkdir -p "$CACHE/bin"
    ln -sfn /usr/bin/cargo "$CACHE/bin/cargo"
    ln -sfn /usr/bin/rustc "$CACHE/bin/rustc"
    ln -sfn /usr/bin/rustdoc "$CACHE/bin/rustdoc"
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC RUSTC_WRAPPER
    export PATH=$CACHE/bin:$CACHE/venv/bin:/usr/local/bin:/usr/bin:/bin
    export RUSTC_BOOTSTRAP=1 # build-std on a stable compiler
    export CARGO_TARGET_DIR=$ROOT/target/cross
    export CARGO_ZIGBUILD_PYTHON_PATH=$CACHE/venv/bin/python
    export CARGO_ZIGBUILD_CACHE_DIR=$CACHE/zigbuild
    export ZIG_GLOBAL_CACHE_DIR=$CACHE/zig ZIG_LOCAL_CACHE_DIR=$CACHE/zig
}

# set_target_flags TARGET [FLAG...]
set_target_flags() {
    local target=$1 flags name
    shift
    # crt-static: MIPS musl targets link dynamically by default.
    # link-self-contained=no: a rebuilt sysroot has no crt1.o; zig has its own.
    flags="-C target-feature=+crt-static -C link-self-contained=no $*"
    # rustix hands musl a 64-bit timespec where 32-bit MIPS libc's is 32-bit:
    # without this every timer hangs or never fires.
    case $target in mips-* | mipsel-*) flags="$flags --cfg fix_y2038" ;; esac
    name=$(tr 'a-z-' 'A-Z_' <<<"$target")
    export "CARGO_TARGET_${name}_RUSTFLAGS=$flags"
}

# The user-mode emulator that runs TARGET's programs; empty if none is needed.
emulator() {
    case $1 in
        aarch64-*) echo qemu-aarch64 ;;
        armv7-*) echo qemu-arm ;;
        mipsel-*) echo qemu-mipsel ;;
        mips-*) echo qemu-mips ;;
        x86_64-*) [ "$(uname -m)" = x86_64 ] || echo qemu-x86_64 ;;
    esac
}

expand_targets() {
    if [ "$1" = all ]; then echo "${ALL_TARGETS[@]}"; else echo "$1"; fi
}
