# shellcheck shell=sh disable=SC2154,SC2016
# What OpenWrt's buildroot makes of our recipe: make reads the recipe against
# stand-ins for what it includes, and files and scripts are put together in the
# way of the buildroot's package-pack.mk.

# recipe NAME: files in $work/recipe/data, our parts of the scripts in
# $work/recipe.
recipe() {
	top=$work/buildroot
	rm -rf "$work/recipe" "$top"
	mkdir -p "$work/recipe/data" "$top/include" "$top/feeds/packages/lang/rust" "$top/bin"
	cp "$work/binary" "$top/bin/smol-mtproxy"
	echo 'INCLUDE_DIR:=$(TOPDIR)/include' >"$top/rules.mk"
	: >"$top/feeds/packages/lang/rust/rust-package.mk"
	cat >"$top/include/package.mk" <<-'END'
		PKG_INSTALL_DIR:=$(TOPDIR)
		INSTALL_DIR:=install -d -m 0755
		INSTALL_BIN:=install -m 0755
		INSTALL_DATA:=install -m 0644
		INSTALL_CONF:=install -m 0600
		PARTS:=USERID PROVIDES CONFLICTS
		SCRIPTS:=conffiles preinst postinst prerm postrm

		define BuildPackage
		USERID:=
		PROVIDES:=
		CONFLICTS:=
		$(Package/$(1))
		$$(foreach part,$$(PARTS),$$(file >>$(OUT)/$(1).facts,$$(part) $$($$(part))))
		$$(foreach script,$$(SCRIPTS),$$(if $$(Package/$(1)/$$(script)),$$(file >$(OUT)/$(1).$$(script),$$(Package/$(1)/$$(script)))))
		$(1)-files: ; $$(call Package/$(1)/install,$(OUT)/data)
		endef
	END
	make -s -C "$root/cross/openwrt" TOPDIR="$top" OUT="$work/recipe" "$1-files" \
		>"$work/log" 2>"$work/stderr" || return 1
	for file in "$work/recipe/$1".*; do
		mv "$file" "$work/recipe/${file##*.}"
	done
	rm -f "$work/recipe"/smol-mtproxy*.*
}

fact() { sed -n "s/^$1 //p" "$work/recipe/facts"; }

# What conffiles names and is no file of the package is for sysupgrade to keep.
keep_what_is_no_file() {
	while read -r path; do
		[ -f "$work/recipe/data/$path" ] || echo "$path" >>"$work/recipe/data/lib/upgrade/keep.d/$1"
	done <"$work/recipe/conffiles"
}

# conffiles_that_are_files
conffiles_that_are_files() {
	while read -r path; do
		[ ! -f "$work/recipe/data/$path" ] || echo "$path"
	done <"$work/recipe/conffiles"
}

# recipe_ipk NAME: a package, opened, in $work/ipk
recipe_ipk() {
	recipe "$1" || return 1
	keep_what_is_no_file "$1"
	rm -rf "$work/ipk"
	mkdir -p "$work/ipk/control"
	mv "$work/recipe/data" "$work/ipk/data"
	cat >"$work/ipk/control/control" <<-END
		Package: $1
		Conflicts: $(fact CONFLICTS)
		Require-User: $(fact USERID)
	END
	echo /etc/config/smol-mtproxy >"$work/ipk/control/conffiles"
	for script in postinst prerm; do
		cat >"$work/ipk/control/$script" <<-END
			#!/bin/sh
			[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
			. "\${IPKG_INSTROOT}/lib/functions.sh"
			default_$script \$0 \$@
		END
	done
	[ ! -e "$work/recipe/postinst" ] || cp "$work/recipe/postinst" "$work/ipk/control/postinst-pkg"
	[ ! -e "$work/recipe/postrm" ] || cp "$work/recipe/postrm" "$work/ipk/control/postrm"
}

# recipe_apk NAME: the same in $work/apk. CONFLICTS says nothing to apk.
recipe_apk() {
	recipe "$1" || return 1
	keep_what_is_no_file "$1"
	rm -rf "$work/apk"
	lists=$work/recipe/data/lib/apk/packages
	mkdir -p "$lists"
	fact USERID >"$lists/$1.rusers"
	(cd "$work/recipe/data" && find . -type f | sed 's/^\.//' | sort) >"$work/recipe/list"
	mv "$work/recipe/list" "$lists/$1.list"
	conffiles_that_are_files | while read -r path; do
		echo "$path $(sum "$work/recipe/data$path")"
	done >"$lists/$1.conffiles_static"
	mv "$work/recipe/data" "$work/apk"
	echo "pkgname = $1" >"$work/apk/.PKGINFO"
	{
		apk_head "$1"
		echo add_group_and_user
		echo default_postinst
		[ ! -e "$work/recipe/postinst" ] || sed '/^[[:space:]]*#!/d' "$work/recipe/postinst"
	} >"$work/apk/.post-install"
	{
		echo '#!/bin/sh'
		echo 'export PKG_UPGRADE=1'
		sed '/^[[:space:]]*#!/d' "$work/apk/.post-install"
	} >"$work/apk/.post-upgrade"
	{
		apk_head "$1"
		echo default_prerm
	} >"$work/apk/.pre-deinstall"
	[ ! -e "$work/recipe/postrm" ] || cp "$work/recipe/postrm" "$work/apk/.post-deinstall"
}

apk_head() {
	cat <<-END
		#!/bin/sh
		[ "\${IPKG_NO_SCRIPT}" = 1 ] && exit 0
		[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
		. "\${IPKG_INSTROOT}/lib/functions.sh"
		export root="\${IPKG_INSTROOT}"
		export pkgname="$1"
	END
}
