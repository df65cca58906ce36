#!/bin/sh
# The packages, taken apart with the routers' own tar: paths, modes, control
# fields, scripts, checksums; and installed, upgraded and removed by models of
# both package managers. A stand-in takes the binary's place.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/openwrt/assert.sh
. "$here/assert.sh"
live=$work/live
# shellcheck source=tests/openwrt/package_managers.sh
. "$here/package_managers.sh"
# shellcheck source=tests/openwrt/buildroot.sh
. "$here/buildroot.sh"

applets "$work/applets"
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
		644 lib/upgrade/keep.d/smol-mtproxy
		755 usr/bin/smol-mtproxy
		644 usr/lib/smol-mtproxy/ask.sh
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
		Installed-Size: $(find "$work/ipk/data" -type f -exec cat {} + | wc -c)
		Description: A small Telegram MTProto proxy
	END
	equal /etc/config/smol-mtproxy "$(cat "$work/ipk/control/conffiles")"
	equal '644 conffiles 644 control 755 postinst 755 postrm 755 prerm ' \
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
	run_script "$work/ipk/control/postrm" remove || fail 'postrm failed'
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
	for script in .post-install .post-upgrade .pre-deinstall .post-deinstall; do
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

# The buildroot recipe makes the same packages as cross/package.py.
the_buildroot_recipe_agrees() {
	for features in full lite; do
		name=$(package_name "$features")
		recipe "$name" || return 1
		equal "$(payload)" "$(files_of "$work/recipe/data")"
		equal smol-mtproxy:smol-mtproxy "$(fact USERID)"
		build ipk "$features" && unpack_ipk || return 1
		file_is "$work/recipe/postrm" <"$work/ipk/control/postrm"
	done
}

package_name() {
	case $1 in
		full) echo smol-mtproxy ;;
		lite) echo smol-mtproxy-lite ;;
	esac
}

# --- installed, upgraded, removed

# open WAY FEATURES PROGRAM: a package of that program, opened for the model of
# its package manager. WAY is ipk or apk, and recipe_ipk or recipe_apk for what
# the buildroot makes. Each is made once.
open() {
	opened=$work/${1#recipe_}
	made=$work/made/$1-$2-$3
	if [ ! -d "$made" ]; then
		printf '#!/bin/sh\n# %s\n' "$3" >"$work/binary"
		case $1 in
			recipe_*) "$1" "$(package_name "$2")" ;;
			*) build "$1" "$2" && "unpack_$1" ;;
		esac || fail "no package: $1 $2"
		mkdir -p "$work/made"
		cp -R "$opened" "$made"
	fi
	rm -rf "$opened"
	cp -R "$made" "$opened"
}

install() {
	case $1 in
		*ipk) opkg_install ;;
		*) apk_add ;;
	esac
}

remove() {
	case $1 in
		*ipk) opkg_remove "$2" ;;
		*) apk_del "$2" ;;
	esac
}

# A model with which the old program could not be left running would be none.
to_procd_a_start_is_no_change() {
	new_router
	open apk lite old
	sed -i '/ restart/d' "$work/apk/.post-upgrade"
	install apk
	open apk lite new
	sed -i '/ restart/d' "$work/apk/.post-upgrade"
	install apk
	contains "$live/runs" '# old'
}

an_upgrade_runs_the_new_program() {
	for way in ipk apk recipe_ipk recipe_apk; do
		for features in full lite; do
			new_router
			open "$way" "$features" old
			install "$way" || fail "$way: not installed"
			equal 'user, enable, start, ' "$(calls)"
			contains "$live/runs" '# old'
			mkdir "$live/var/run/smol-mtproxy"
			: >"$live/calls"
			open "$way" "$features" new
			install "$way" || fail "$way: not upgraded"
			contains "$live/runs" '# new'
			equal "$(upgrade_calls "$way")" "$(calls)"
			[ -d "$live/var/run/smol-mtproxy" ] || fail "$way: an upgrade takes the run directory away"
			contains "$live/etc/config/smol-mtproxy" "	list secret 'made'"
		done
	done
}

calls() { tr '\n' ',' <"$live/calls" | sed 's/,/, /g'; }

# As it was with the real package managers.
upgrade_calls() {
	case $1 in
		ipk) echo 'stop, user, start, ' ;;
		recipe_ipk) echo 'stop, user, restart, start, ' ;;
		*) echo 'user, start, restart, ' ;;
	esac
}

# The user's configuration stays, and no other trace.
removal_leaves_the_configuration_alone() {
	for way in ipk apk recipe_ipk recipe_apk; do
		new_router
		open "$way" lite old
		install "$way"
		mkdir -p "$live/etc/smol-mtproxy" "$live/var/run/smol-mtproxy/data"
		: >"$live/etc/smol-mtproxy/banned"
		: >"$live/var/run/smol-mtproxy/flags"
		: >"$live/var/run/smol-mtproxy.first"
		open "$way" lite new
		install "$way"
		[ -e "$live/etc/config/smol-mtproxy-opkg" ] || [ -e "$live/etc/config/smol-mtproxy.apk-new" ] ||
			fail "$way: the model leaves no template"
		remove "$way" smol-mtproxy-lite
		absent "$live/runs"
		absent "$live/ending"
		equal 'etc/config/smol-mtproxy etc/smol-mtproxy/banned ' \
			"$(cd "$live" && find . -type f | sed -n 's#^\./\(etc\|usr\|var\|lib/upgrade\)/#\1/#p' | sort | tr '\n' ' ')"
		absent "$live/var/run/smol-mtproxy"
		absent "$live/usr/lib/smol-mtproxy"
		absent "$live/etc/capabilities"
	done
}

# rm -r can be led astray in a directory that is not root's alone, or that has others
# in it.
removal_takes_directories_before_it_looks_into_them() {
	for way in ipk apk recipe_ipk; do
		new_router
		open "$way" lite old
		install "$way"
		data=$live/var/run/smol-mtproxy/data
		mkdir -p "$data/a b/c/.d" "$data/-e" "$data/..f" "$work/victim"
		: >"$work/victim/precious"
		for place in l .l 'a b/l' 'a b/c/.d/l' ..f/l; do
			ln -s "$work/victim" "$data/$place"
			: >"$data/${place}2"
		done
		chmod -R 777 "$data"
		[ "$(id -u)" != 0 ] || chown -hR daemon:daemon "$data"
		cat >>"$live/stand-ins/commands" <<-'END'
			rm() {
				for path; do
					[ -L "$path" ] || [ ! -d "$path" ] || ls -dln "$path" >>"$LIVE/looked"
					[ -L "$path" ] || find "$path" -mindepth 1 -type d 2>/dev/null >>"$LIVE/looked"
				done
				command rm "$@"
			}
		END
		remove "$way" smol-mtproxy-lite
		equal "drwx------ $(id -u)" "$(awk '{ print $1, $3 }' "$live/looked" | sort -u)"
		equal '' "$(ls -A "$live/var/run")"
		[ -e "$work/victim/precious" ] || fail "$way: has followed a link"
	done
}

# An image is put together on another machine: there is nothing to start or to
# clear away.
in_an_image_nothing_starts() {
	recipe smol-mtproxy || return 1
	PKG_UPGRADE=1 run_script "$work/recipe/postinst" || fail 'postinst failed'
	run_script "$work/recipe/postrm" || fail 'postrm failed'
	for word in postinst postrm; do
		moved "$work/recipe/$word" "$work/script"
		new_router
		mkdir "$live/var/run/smol-mtproxy"
		(IPKG_INSTROOT=$work/root && PKG_UPGRADE=1 && export IPKG_INSTROOT PKG_UPGRADE && router "$work/script")
		equal '' "$(cat "$live/calls")"
		[ -d "$live/var/run/smol-mtproxy" ] || fail "$word: has cleared away"
	done
}

# Neither package manager takes lite for full: the one has to go first, and the
# configuration stays.
one_of_both_packages_at_a_time() {
	for way in ipk apk; do
		for pair in 'full lite' 'lite full'; do
			new_router
			open "$way" "${pair% *}" old
			install "$way"
			open "$way" "${pair#* }" new
			! install "$way" || fail "$way: $pair side by side"
			contains "$live/runs" '# old'
			remove "$way" "$(package_name "${pair% *}")"
			install "$way" || fail "$way: not installed after the other"
			contains "$live/runs" '# new'
			contains "$live/etc/config/smol-mtproxy" "	list secret 'made'"
		done
	done
}

sysupgrade_keeps_settings_and_tables() {
	for way in ipk apk recipe_ipk recipe_apk; do
		new_router
		open "$way" full old
		install "$way"
		mkdir "$live/etc/smol-mtproxy"
		: >"$live/etc/smol-mtproxy/banned"
		: >"$live/etc/smol-mtproxy.flags"
		: >"$live/etc/smol-mtproxies"
		equal '/etc/config/smol-mtproxy /etc/smol-mtproxy.flags /etc/smol-mtproxy/banned ' \
			"$(kept | tr '\n' ' ')"
	done
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
	to_procd_a_start_is_no_change an_upgrade_runs_the_new_program \
	removal_leaves_the_configuration_alone removal_takes_directories_before_it_looks_into_them in_an_image_nothing_starts \
	one_of_both_packages_at_a_time sysupgrade_keeps_settings_and_tables \
	the_buildroot_target_is_the_directory every_architecture_has_a_target; do
	run_test "$test"
done
report packages
