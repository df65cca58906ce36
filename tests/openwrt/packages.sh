#!/bin/sh
# The packages, taken apart with the routers' own tar: paths, modes, control
# fields, scripts, checksums. A stand-in takes the binary's place.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$here/assert.sh"

printf '#!/bin/sh\necho "$@"\n' >"$work/binary"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")

# build KIND FEATURES: leaves the package's path in $package.
build() {
	rm -rf "$work/out"
	SOURCE_DATE_EPOCH=1700000000 python3 "$root/cross/package.py" "$1" "$2" mipsel_24kc \
		"$work/binary" "$work/out" >"$work/log" 2>"$work/stderr" || return 1
	package=$(find "$work/out" -type f)
}

unpack_ipk() {
	rm -rf "$work/ipk"
	mkdir -p "$work/ipk/data" "$work/ipk/control"
	busybox tar xzf "$package" -C "$work/ipk" &&
		busybox tar xzf "$work/ipk/data.tar.gz" -C "$work/ipk/data" &&
		busybox tar xzf "$work/ipk/control.tar.gz" -C "$work/ipk/control"
}

unpack_apk() {
	rm -rf "$work/apk"
	mkdir -p "$work/apk"
	busybox tar xzf "$package" -C "$work/apk"
}

# files_of DIRECTORY: "mode path" of every file.
files_of() { (cd "$1" && find . -type f -printf '%m %P\n' | sort -k 2); }

payload() {
	cat <<-END
		644 etc/capabilities/smol-mtproxy.json
		600 etc/config/smol-mtproxy
		755 etc/init.d/smol-mtproxy
		755 etc/uci-defaults/90-smol-mtproxy
		755 usr/bin/smol-mtproxy
		644 usr/lib/smol-mtproxy/paths.sh
		644 usr/lib/smol-mtproxy/place.sh
		644 usr/lib/smol-mtproxy/render.sh
	END
}

ipk_holds_the_files() {
	build ipk full && unpack_ipk || return 1
	equal "smol-mtproxy_$version-r1_mipsel_24kc.ipk" "$(basename "$package")"
	equal 2.0 "$(cat "$work/ipk/debian-binary")"
	equal "$(payload)" "$(files_of "$work/ipk/data")"
	cmp "$work/binary" "$work/ipk/data/usr/bin/smol-mtproxy"
}

ipk_control_is_complete() {
	build ipk lite && unpack_ipk || return 1
	file_is "$work/ipk/control/control" <<-END
		Package: smol-mtproxy-lite
		Version: $version-r1
		Provides: smol-mtproxy
		Conflicts: smol-mtproxy
		License: MIT
		Section: net
		Require-User: smol-mtproxy:smol-mtproxy
		Architecture: mipsel_24kc
		Installed-Size: $(du -bc $(find "$work/ipk/data" -type f) | tail -n 1 | cut -f 1)
		Description: A small Telegram MTProto proxy
	END
	equal /etc/config/smol-mtproxy "$(cat "$work/ipk/control/conffiles")"
	equal '644 conffiles 644 control 755 postinst 755 prerm ' \
		"$(files_of "$work/ipk/control" | tr '\n' ' ')"
}

# install_root: a root directory with OpenWrt's helpers, which write down what
# they are asked.
install_root() {
	mkdir -p "$work/root/lib"
	cat >"$work/root/lib/functions.sh" <<-'END'
		add_group_and_user() { echo "add_group_and_user $pkgname" >>"$IPKG_INSTROOT/calls"; }
		default_postinst() { echo "default_postinst $pkgname $PKG_UPGRADE" "$@" >>"$IPKG_INSTROOT/calls"; }
		default_prerm() { echo "default_prerm $pkgname" "$@" >>"$IPKG_INSTROOT/calls"; }
	END
	: >"$work/root/calls"
}

# run_script FILE ARGUMENT: as the package manager does.
run_script() { IPKG_INSTROOT=$work/root busybox ash "$@"; }

ipk_scripts_call_openwrts_helpers() {
	build ipk full && unpack_ipk || return 1
	install_root
	run_script "$work/ipk/control/postinst" configure || fail 'postinst failed'
	run_script "$work/ipk/control/prerm" remove || fail 'prerm failed'
	file_is "$work/root/calls" <<-END
		default_postinst   $work/ipk/control/postinst configure
		default_prerm  $work/ipk/control/prerm remove
	END
	: >"$work/root/lib/functions.sh"
	run_script "$work/ipk/control/postinst" configure || fail 'postinst needs more than an image root has'
}

apk_holds_the_files() {
	build apk full && unpack_apk || return 1
	equal "smol-mtproxy-$version-r1.mipsel_24kc.apk" "$(basename "$package")"
	equal "$(payload)" "$(files_of "$work/apk" | grep -v -e ' \.' -e lib/apk)"
	cmp "$work/binary" "$work/apk/usr/bin/smol-mtproxy"
	equal "$(cd "$work/apk" && find . -type f ! -name '.*' ! -name '*.list' -printf '/%P\n' | sort)" \
		"$(cat "$work/apk/lib/apk/packages/smol-mtproxy.list")"
	equal smol-mtproxy:smol-mtproxy "$(cat "$work/apk/lib/apk/packages/smol-mtproxy.rusers")"
	equal "/etc/config/smol-mtproxy $(sha256sum <"$work/apk/etc/config/smol-mtproxy" | cut -d ' ' -f 1)" \
		"$(cat "$work/apk/lib/apk/packages/smol-mtproxy.conffiles_static")"
}

apk_streams_and_checksums_hold() {
	build apk lite || return 1
	python3 - "$package" >"$work/facts" <<-'END' || return 1
		import gzip, hashlib, io, sys, tarfile, zlib

		rest, streams = open(sys.argv[1], "rb").read(), []
		while rest:
		    one = zlib.decompressobj(31)
		    text = one.decompress(rest)
		    streams.append((text, rest[: len(rest) - len(one.unused_data)]))
		    rest = one.unused_data
		(control, _), (data, packed) = streams
		assert control[-1024:] != bytes(1024), "the control stream has an end marker"
		info = tarfile.open(fileobj=io.BytesIO(control)).extractfile(".PKGINFO").read().decode()
		fields = dict(line.split(" = ", 1) for line in info.splitlines())
		assert fields["datahash"] == hashlib.sha256(packed).hexdigest(), "datahash"
		for member in tarfile.open(fileobj=io.BytesIO(data)):
		    if member.isfile():
		        body = tarfile.open(fileobj=io.BytesIO(data)).extractfile(member.name).read()
		        assert member.pax_headers["APK-TOOLS.checksum.SHA1"] == hashlib.sha1(body).hexdigest(), member.name
		    assert (member.uname, member.gname) == ("root", "root"), member.name
		for name in ("pkgname", "pkgver", "arch", "license", "depend"):
		    print(name, fields[name])
	END
	file_is "$work/facts" <<-END
		pkgname smol-mtproxy-lite
		pkgver $version-r1
		arch mipsel_24kc
		license MIT
		depend !smol-mtproxy
	END
}

apk_scripts_call_openwrts_helpers() {
	build apk full && unpack_apk || return 1
	install_root
	for script in .post-install .post-upgrade .pre-deinstall; do
		equal 755 "$(stat -c %a "$work/apk/$script")"
		run_script "$work/apk/$script" || fail "$script failed"
	done
	file_is "$work/root/calls" <<-'END'
		add_group_and_user smol-mtproxy
		default_postinst smol-mtproxy 
		add_group_and_user smol-mtproxy
		default_postinst smol-mtproxy 1
		default_prerm smol-mtproxy
	END
}

packages_are_reproducible() {
	for kind in ipk apk; do
		build "$kind" full || return 1
		cp "$package" "$work/first"
		build "$kind" full || return 1
		cmp "$work/first" "$package" || fail "$kind differs from build to build"
	done
}

# The buildroot recipe installs the same paths as the packages made without it.
the_buildroot_recipe_agrees() {
	equal "$(payload | cut -d ' ' -f 2)" "$(sed -n 's|^[[:space:]]*\$(1)/\([^ ]*\)$|\1|p' \
		"$root/cross/openwrt/Makefile" | sort)"
}

# The buildroot names a target by the directory that the recipe lies in.
the_buildroot_target_is_the_directory() {
	for file in cross/openwrt/Makefile doc/routers.md; do
		directory=$(sed -n 's|^[# ]*ln -s .*/cross/openwrt \(.*\)$|\1|p' "$root/$file")
		[ -n "$directory" ] || fail "$file: no link to the recipe"
		equal "$directory/compile" "$(sed -n 's|^[# ]*make \(package/.*\)$|\1|p' "$root/$file")"
	done
}

every_architecture_has_a_target() {
	bad=$(grep -v '^#' "$root/cross/openwrt/arches" | awk '$2 !~ /-unknown-linux-musl/ || NF < 3')
	equal '' "$bad"
}

for test in ipk_holds_the_files ipk_control_is_complete ipk_scripts_call_openwrts_helpers \
	apk_holds_the_files apk_streams_and_checksums_hold apk_scripts_call_openwrts_helpers \
	packages_are_reproducible the_buildroot_recipe_agrees \
	the_buildroot_target_is_the_directory every_architecture_has_a_target; do
	run_test "$test"
done
report packages
