use super::super::values::Role;

/// One flag with all that is true of it wherever it is read. What a row does not
/// say is as in `Flag::row`.
#[derive(Debug)]
pub(crate) struct Flag {
    /// With its dashes.
    pub(crate) name: &'static str,
    /// What stands for its value in help; `S` is in seconds.
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) heading: Heading,
    pub(in crate::config) roles: Roles,
    pub(in crate::config) reload: Reload,
    pub(in crate::config) order: Order,
    pub(in crate::config) holds: Holds,
    pub(in crate::config) names: Names,
    pub(in crate::config) build: Build,
}

impl Flag {
    /// For every role and build, taken over by a reload, without secrets and names
    /// of files.
    pub(super) const fn row(
        heading: Heading,
        name: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            help,
            heading,
            roles: Roles::ALL,
            reload: Reload::Live,
            order: Order::Kept,
            holds: Holds::NoSecret,
            names: Names::NoFile,
            build: Build::Any,
        }
    }

    /// Whether this build has it.
    pub(crate) const fn is_here(&self) -> bool {
        self.build.is_this()
    }

    /// Whether its help is there. doc/options.md is made by the tests of a build without
    /// ACME, too.
    pub(super) const fn is_explained(&self) -> bool {
        self.is_here() || (cfg!(test) && matches!(self.build, Build::Acme))
    }

    /// The same, without the help that a build does not show.
    pub(super) const fn for_this_build(self) -> Self {
        match self.is_explained() {
            true => self,
            false => Self { help: "", ..self },
        }
    }

    /// Whether its values must not be repeated where others may read them.
    pub(in crate::config) fn is_private(&self) -> bool {
        !matches!(
            self.holds,
            Holds::NoSecret | Holds::SecretFile | Holds::KeyFileOption
        )
    }

    /// Whether nobody else should read a file with this value.
    pub(in crate::config) fn is_secret(&self, value: &str) -> bool {
        match self.holds {
            Holds::Secret => true,
            Holds::SecretOption => value.contains(",secret="),
            Holds::KeyOption => value.contains(",key="),
            Holds::Password => value.contains('@'),
            Holds::NoSecret | Holds::Tag | Holds::SecretFile | Holds::KeyFileOption => false,
        }
    }
}

/// Where a flag stands in help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    Clients,
    Web,
    Telegram,
    SplitMode,
    WhoMayComeIn,
    Limits,
    ThisProcess,
}

impl Heading {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Clients => "Clients",
            Self::Web => "WEB proxy",
            Self::Telegram => "Telegram",
            Self::SplitMode => "Split mode",
            Self::WhoMayComeIn => "Who may come in",
            Self::Limits => "Limits",
            Self::ThisProcess => "This process",
        }
    }
}

/// Which processes a flag says something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Roles(u8);

impl Roles {
    const BOTH: u8 = 1;
    pub(crate) const FRONT: Self = Self(2);
    pub(crate) const BACK: Self = Self(4);
    pub(crate) const ALL: Self = Self(Self::BOTH | 2 | 4);
    /// Those that take clients.
    pub(crate) const WITH_CLIENTS: Self = Self(Self::BOTH | 2);
    /// Those that talk to Telegram.
    pub(crate) const WITH_TELEGRAM: Self = Self(Self::BOTH | 4);
    /// Those that are one half of the proxy.
    pub(crate) const HALVES: Self = Self(2 | 4);

    pub(crate) fn include(self, role: Role) -> bool {
        let bit = match role {
            Role::Both => Self::BOTH,
            Role::Front => Self::FRONT.0,
            Role::Back => Self::BACK.0,
        };
        self.0 & bit != 0
    }
}

/// What a reload does with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Reload {
    /// Takes it over.
    Live,
    /// Goes on with the one of the start, and says so.
    Restart,
    /// Changes nothing at all.
    Refused,
    /// It has its place on the command line alone, which stays as it is.
    CommandLine,
}

/// Whether the same values in another order say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Order {
    Kept,
    Free,
    /// Among those that begin with the same `NAME=` it is kept.
    FreeByName,
}

/// What of a value is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Holds {
    NoSecret,
    Secret,
    /// What stands behind `,secret=`.
    SecretOption,
    /// What stands behind `,key=`.
    KeyOption,
    /// What stands before the `@` of a URL.
    Password,
    /// Nothing for logs, but no reason to close the config file.
    Tag,
    /// It names a file that holds one.
    SecretFile,
    /// The same behind `,key=`.
    KeyFileOption,
}

/// Whether a value names a file, whose relative name is made whole. A URL is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Names {
    NoFile,
    File,
    /// Behind `NAME=`.
    FileOfName,
    /// The same, or without that.
    FileMaybeOfName,
    /// Behind `,cert=`, `,key=` and `,ca=`.
    CertificateOptions,
}

/// What a build must have been made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Build {
    Any,
    /// TLS on the link.
    Tls,
    /// Other routes than direct.
    Routes,
    Ctl,
    /// Certificates by ACME.
    Acme,
}

impl Build {
    pub(crate) const fn is_this(self) -> bool {
        match self {
            Self::Any => true,
            Self::Tls | Self::Routes => cfg!(feature = "tls"),
            Self::Ctl => cfg!(feature = "ctl"),
            Self::Acme => cfg!(feature = "acme"),
        }
    }

    /// What other builds lack, with the one to take, and what to do there instead.
    pub(crate) fn lack(self) -> (&'static str, &'static str) {
        match self {
            Self::Any => ("", ""),
            Self::Tls => (
                "this small build has no TLS; take the full build",
                "use --link-psk inside a tunnel",
            ),
            Self::Routes => (
                "this small build has no route but direct; take the full build",
                "leave it out and reach Telegram through --via or a --role back elsewhere",
            ),
            Self::Ctl => (
                "this small build has no ctl; take the full build",
                "leave it out",
            ),
            Self::Acme => (
                "this build has no ACME; take the one for servers (`make build`)",
                "leave it out and give --web the cert= and key= that acme.sh or the like renews",
            ),
        }
    }
}

/// Rows become the struct that the flags fill, and the table of what is true of
/// them. Behind a row's semicolon is what only generated files and tests go by: OpenWrt's
/// kind of key, and an example.
macro_rules! flags {
    (
        $(#[$($about:tt)*])*
        struct Flags;
        $($heading:ident {
            $(
                $(#[doc = $help:literal])+
                $(#[ctl = $with_ctl:literal])?
                $field:ident: $type:ty = $name:literal $value:tt
                $(, $column:ident: $entry:expr)* ; $kind:ident $example:literal;
            )+
        })+
    ) => {
        $(#[$($about)*])*
        // The brackets of a help text are no links.
        #[allow(rustdoc::broken_intra_doc_links)]
        #[derive(Default)]
        pub(in crate::config) struct Flags {
            $($($(#[doc = $help])+ pub(crate) $field: $type,)+)+
        }

        impl Flags {
            /// What the flag of this name, with its dashes, fills, if this build has it.
            pub(crate) fn slot(&mut self, name: &str) -> Option<&mut dyn Slot> {
                let at = FLAGS.iter().position(|flag| flag.name == name)?;
                // Of others not even the code is there that reads their values.
                let slots: [Option<&mut dyn Slot>; _] = [$($(
                    match const {
                        let row = Flag::row(Heading::$heading, $name, $value, "");
                        Flag { $($column: $entry,)* ..row }.is_here()
                    } {
                        true => Some(&mut self.$field),
                        false => None,
                    },
                )+)+];
                slots.into_iter().nth(at)?
            }
        }

        /// All flags, in the order of `--help`.
        pub(crate) static FLAGS: &[Flag] = &[$($(
            Flag {
                $($column: $entry,)*
                ..Flag::row(
                    Heading::$heading,
                    $name,
                    $value,
                    if cfg!(feature = "ctl") {
                        concat!($($help,)+ $($with_ctl)?)
                    } else {
                        concat!($($help),+)
                    },
                )
            }
            .for_this_build(),
        )+)+];

        /// The rest of the rows, in the same order.
        #[cfg(test)]
        pub(in crate::config) static MORE: &[More] = &[$($(
            More {
                field: stringify!($field),
                uci: Uci::$kind,
                example: $example,
                repeats: matches!(stringify!($type).as_bytes(), [b'V', ..]),
            },
        )+)+];
    };
}

/// What of a flag only generated files and tests go by.
#[cfg(test)]
pub(in crate::config) struct More {
    /// As in [`Flags`](super::table::Flags), and in OpenWrt's config.
    pub(crate) field: &'static str,
    pub(crate) uci: Uci,
    /// Another value than the default.
    pub(crate) example: &'static str,
    pub(crate) repeats: bool,
}

/// How OpenWrt's init script renders a key.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Uci {
    /// There is no such key.
    None,
    Text,
    List,
    Number,
    /// A shape of its own, with a rule of its own.
    Own,
}
