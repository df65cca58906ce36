# shellcheck shell=sh disable=SC2154
# Models of opkg and apk-tools: which scripts of a package they run, in which
# order, and which files they leave. And of what the scripts call: OpenWrt's
# helpers, an init script that does as procd does. The router's root is $live:
# whole paths in scripts are moved there.

# new_router: one without the package, and what the scripts call there.
new_router() {
	rm -rf "$live"
	mkdir -p "$live/lib" "$live/etc/config" "$live/etc/init.d" "$live/etc/uci-defaults" \
		"$live/usr/bin" "$live/var/run" "$live/lib/upgrade/keep.d" "$live/stand-ins"
	: >"$live/calls"
	cat >"$live/lib/functions.sh" <<-'END'
		add_group_and_user() { echo user >>"$LIVE/calls"; }

		named() {
			[ -n "$pkgname" ] || pkgname=$(basename "${1%.*}")
			files=$LIVE/lib/apk/packages/$pkgname.list
			[ -f "$files" ] || files=$LIVE/usr/lib/opkg/info/$pkgname.list
			info=$LIVE/usr/lib/opkg/info/$pkgname
		}

		scripts_in() { grep -s "^/etc/$1/" "$files"; }

		default_postinst() {
			local status=0

			named "$@"
			[ ! -e "$info.list" ] || add_group_and_user
			for script in $(scripts_in uci-defaults); do
				( [ -f "$LIVE$script" ] && . "$LIVE$script" ) && rm -f "$LIVE$script"
			done
			if [ -f "$info.postinst-pkg" ]; then
				( . "$info.postinst-pkg" )
				status=$?
			fi
			for script in $(scripts_in init.d); do
				[ "$PKG_UPGRADE" = 1 ] || "$LIVE$script" enable
				"$LIVE$script" start
			done
			return "$status"
		}

		default_prerm() {
			named "$@"
			for script in $(scripts_in init.d); do
				[ "$PKG_UPGRADE" = 1 ] || "$LIVE$script" disable
				"$LIVE$script" stop
			done
		}
	END
	# To procd a start is no change while something runs. $live/runs is what the
	# running program was read from.
	cat >"$live/stand-ins/init.d" <<-'END'
		#!/bin/sh
		echo "$1" >>"$LIVE/calls"
		case $1 in
			start) [ -e "$LIVE/runs" ] || cp "$LIVE/usr/bin/smol-mtproxy" "$LIVE/runs" ;;
			restart) cp "$LIVE/usr/bin/smol-mtproxy" "$LIVE/runs" ;;
			stop) [ ! -e "$LIVE/runs" ] || mv "$LIVE/runs" "$LIVE/ending" ;;
		esac
	END
	cat >"$live/stand-ins/uci-defaults" <<-'END'
		grep -q secret "$LIVE/etc/config/smol-mtproxy" || echo "	list secret 'made'" >>"$LIVE/etc/config/smol-mtproxy"
	END
	# A program that was told to end does so while somebody waits for it. Functions,
	# as ash takes its own applets before what lies in PATH.
	cat >"$live/stand-ins/commands" <<-'END'
		pidof() { [ -e "$LIVE/runs" ] || [ -e "$LIVE/ending" ]; }
		sleep() { rm -f "$LIVE/ending"; }
		[ "$(id -u)" = 0 ] || chown() { :; }
	END
	chmod +x "$live/stand-ins"/*
}

# moved FILE TARGET: a script, as it would be at the router's root.
moved() {
	sed 's#/\(etc\|lib\|usr\|var\)/#'"$live"'/\1/#g' "$1" >"$2"
	chmod +x "$2"
}

# router SCRIPT ARGUMENT...
router() {
	script=$1
	shift
	# The shell there expands it.
	# shellcheck disable=SC2016
	[ ! -f "$script" ] || LIVE=$live PATH=$work/applets "$work/applets/ash" -c \
		'. "$LIVE/stand-ins/commands"; . "$0"' "$script" "$@" 2>>"$work/stderr" ||
		fail "$(basename "$script") failed"
}

# What the package brings, but for a program and an init script that can be told
# apart and watched.
stand_in() {
	cp "$live/stand-ins/init.d" "$live/etc/init.d/smol-mtproxy"
	cp "$live/stand-ins/uci-defaults" "$live/etc/uci-defaults/90-smol-mtproxy"
}

sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

# --- opkg: installs what lies in $work/ipk, opened

opkg_install() {
	info=$live/usr/lib/opkg/info
	mkdir -p "$info"
	name=$(sed -n 's/^Package: //p' "$work/ipk/control/control")
	other=$(sed -n 's/^Conflicts: //p' "$work/ipk/control/control")
	[ ! -e "$info/$other.list" ] || return 1
	export PKG_UPGRADE=0
	if [ -e "$info/$name.list" ]; then
		PKG_UPGRADE=1
		router "$info/$name.prerm" upgrade 2
		opkg_back_up "$name"
		router "$info/$name.postrm" upgrade 2
		opkg_delete "$name"
	else
		while read -r file; do
			[ ! -e "$live$file" ] || cp "$live$file" "$live$file-backup"
		done <"$work/ipk/control/conffiles"
	fi
	for file in "$work/ipk/control"/*; do
		case ${file##*/} in
			control | conffiles) cp "$file" "$info/$name.${file##*/}" ;;
			*) moved "$file" "$info/$name.${file##*/}" ;;
		esac
	done
	(cd "$work/ipk/data" && find . -type f | sed 's/^\.//') >"$info/$name.list"
	cp -R "$work/ipk/data/." "$live"
	stand_in
	while read -r file; do
		sum "$live$file" >"$info/$name.sum"
		[ -e "$live$file-backup" ] || continue
		cmp -s "$live$file-backup" "$live$file" || mv "$live$file" "$live$file-opkg"
		mv "$live$file-backup" "$live$file"
	done <"$info/$name.conffiles"
	router "$info/$name.postinst" configure
	unset PKG_UPGRADE
}

opkg_back_up() {
	while read -r file; do
		! opkg_changed "$1" "$file" || cp "$live$file" "$live$file-backup"
	done <"$info/$1.conffiles"
}

opkg_changed() {
	[ -e "$live$2" ] && grep -qxF "$2" "$info/$1.conffiles" && [ "$(sum "$live$2")" != "$(cat "$info/$1.sum")" ]
}

# Its lists name files only: directories stay.
opkg_delete() {
	while read -r file; do
		opkg_changed "$1" "$file" || rm -f "$live$file"
	done <"$info/$1.list"
}

opkg_remove() {
	info=$live/usr/lib/opkg/info
	export PKG_UPGRADE=0
	router "$info/$1.prerm" remove
	opkg_delete "$1"
	router "$info/$1.postrm" remove
	unset PKG_UPGRADE
	rm -f "$info/$1".*
}

# --- apk-tools: installs what lies in $work/apk, opened

apk_add() {
	db=$live/lib/apk/db
	mkdir -p "$db"
	name=$(sed -n 's/^pkgname = //p' "$work/apk/.PKGINFO")
	other=$(sed -n 's/^depend = !//p' "$work/apk/.PKGINFO")
	[ ! -e "$db/$other.sums" ] || return 1
	script=post-install
	[ ! -e "$db/$name.sums" ] || script=post-upgrade
	touch "$db/$name.sums"
	(cd "$work/apk" && find . -type f ! -name '.*' | sed 's/^\.//') >"$db/$name.files"
	while read -r file; do
		target=$live$file
		mkdir -p "$(dirname "$target")"
		if [ -e "$target" ] && apk_changed "$name" "$file"; then
			cmp -s "$work/apk$file" "$target" || target=$target.apk-new
		fi
		cp "$work/apk$file" "$target"
	done <"$db/$name.files"
	(cd "$work/apk" && while read -r file; do
		echo "$file $(sum ".$file")"
	done) <"$db/$name.files" >"$db/$name.sums"
	stand_in
	for file in "$work/apk"/.p*; do
		moved "$file" "$db/$name${file##*/}"
	done
	router "$db/$name.$script" 2 1
}

# Files below /etc are the user's once they are another than the package's.
apk_changed() {
	case "$2" in
		/etc/init.d/* | /etc/uci-defaults/*) return 1 ;;
		/etc/*) ! grep -qxF "$2 $(sum "$live$2")" "$db/$1.sums" ;;
		*) return 1 ;;
	esac
}

apk_del() {
	db=$live/lib/apk/db
	router "$db/$1.pre-deinstall" 1
	while read -r file; do
		apk_changed "$1" "$file" || rm -f "$live$file"
		rm -f "$live$file.apk-new"
		(cd "$live" && rmdir -p "$(dirname ".$file")" 2>/dev/null)
	done <"$db/$1.files"
	router "$db/$1.post-deinstall" 1
	rm -f "$db/$1".*
}

# --- sysupgrade

# kept: what it takes along, of the lists and of changed configuration.
kept() {
	{
		# The lists may hold patterns: find is given what these match.
		# shellcheck disable=SC2046
		find $(sed -ne '/^[[:space:]]*$/d; /^#/d' -e "s|^|$live|p" "$live"/lib/upgrade/keep.d/*) \
			\( -type f -o -type l \) 2>/dev/null
		cat "$live"/lib/apk/packages/*.conffiles_static 2>/dev/null | while read -r file check; do
			[ "$(sum "$live$file")" = "$check" ] || echo "$live$file"
		done
		info=$live/usr/lib/opkg/info
		for list in "$info"/*.conffiles; do
			[ -e "$list" ] || continue
			name=$(basename "$list" .conffiles)
			while read -r file; do
				! opkg_changed "$name" "$file" || echo "$live$file"
			done <"$list"
		done
	} | sed "s|^$live||" | sort -u
}
