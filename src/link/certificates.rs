//! The private CA of a link, and the certificates of its ends, as files: what the
//! command `certs` does.
//!
//! | File | What |
//! |---|---|
//! | `issuer.rs` | the CA, and what it puts into certificates |
//! | `node_key.rs` | a key |
//! | `files.rs` | files that are made once, or take the place of others |
//! | `renewal.rs` | another certificate in the place of one |
//! | `revocation.rs` | certificates that get no link any more |
//! | `shown.rs` | certificates as people see them |
//! | `error.rs` | why nothing was made |

mod error;
mod files;
mod issuer;
mod node_key;
mod renewal;
mod revocation;
mod shown;
#[cfg(test)]
mod tests;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rcgen::Issuer;

use files::{refuse_existing, write};
use issuer::{NODE_DAYS, ca_certificate, ca_params, certificate, check_days, check_name, issuer};
use node_key::NodeKey;
use revocation::REFUSED_HEAD;
use shown::REFUSED;

pub(crate) use error::CertsError;
pub(crate) use files::Done;
pub(crate) use renewal::renew;
pub(crate) use revocation::revoke;
pub(crate) use shown::show;

/// Makes a CA and the back's certificate in `directory`; the files made.
pub(crate) fn init(directory: &Path) -> Result<Vec<PathBuf>, CertsError> {
    let made = [
        "ca.pem",
        "ca.key",
        "back.pem",
        "back.key",
        REFUSED,
        "link.back.conf",
    ];
    refuse_existing(directory, &made)?;
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(directory);
    created.map_err(|error| CertsError::Write(directory.into(), error))?;
    let issuer = Issuer::new(ca_params(), NodeKey::generate()?);
    let ca = ca_certificate(&issuer)?;
    write(directory, "ca.key", 0o600, &issuer.key().pem())?;
    write(directory, "ca.pem", 0o644, &ca.pem())?;
    node(directory, "back", NODE_DAYS, &issuer)?;
    write(directory, REFUSED, 0o644, REFUSED_HEAD)?;
    write(directory, "link.back.conf", 0o600, BACK_CONF)?;
    Ok(made.iter().map(|name| directory.join(name)).collect())
}

/// Makes a certificate for the front `name`, good for `days`; the files made.
pub(crate) fn add_node(
    directory: &Path,
    name: &str,
    days: Option<u32>,
) -> Result<Vec<PathBuf>, CertsError> {
    check_name(name)?;
    check_days(days)?;
    let made = [
        format!("{name}.pem"),
        format!("{name}.key"),
        format!("link.{name}.conf"),
    ];
    if !directory.join("ca.pem").exists() {
        return Err(CertsError::NoCa(directory.into()));
    }
    refuse_existing(directory, &made.each_ref().map(String::as_str))?;
    let issuer = issuer(directory)?;
    node(directory, name, days.unwrap_or(NODE_DAYS), &issuer)?;
    let conf = FRONT_CONF.replace("NAME", name);
    write(directory, &format!("link.{name}.conf"), 0o600, &conf)?;
    Ok(made.iter().map(|name| directory.join(name)).collect())
}

fn node(
    directory: &Path,
    name: &str,
    days: u32,
    issuer: &Issuer<'_, NodeKey>,
) -> Result<(), CertsError> {
    let key = NodeKey::generate()?;
    let certificate = certificate(name, days, &key, issuer)?;
    write(directory, &format!("{name}.key"), 0o600, &key.pem())?;
    write(directory, &format!("{name}.pem"), 0o644, &certificate.pem())
}

const BACK_CONF: &str = "\
# The back: the half of the proxy that talks to Telegram. Keep this file, ca.pem,
# back.pem, back.key and refused.txt in one directory, and ca.key in a safe place. Start with
#   smol-mtproxy run --config link.back.conf
--role back

# Where fronts connect to; let only their addresses through the firewall.
--link-listen :443

--link-ca ca.pem
--link-cert back.pem
--link-key back.key
# Fronts that may no longer: `smol-mtproxy certs revoke DIR NAME` adds to it.
--link-refuse refused.txt

# Needed behind NAT when clients have an ad tag.
#--external-ip 192.0.2.1
#--metrics 127.0.0.1:9090
";

const FRONT_CONF: &str = "\
# The front NAME: the half of the proxy that takes clients. Copy this file,
# ca.pem, NAME.pem and NAME.key to it, into one directory. Start with
#   smol-mtproxy run --config link.NAME.conf

# To be edited: the address or the name of the back.
--link <BACK-ADDRESS>:443

--role front
--link-ca ca.pem
--link-cert NAME.pem
--link-key NAME.key

# The site that this connection seems to go to.
#--link-sni www.example.com

# Where clients connect. A secret is made at the first start; see the links with
#   smol-mtproxy link --config link.NAME.conf
--listen :443
#--secret alice=ee0123456789abcdef0123456789abcdef7777772e6578616d706c652e636f6d
#--tls-domain www.example.com
#--link-name proxy.example.com
#--tag 00000000000000000000000000000000
#--metrics 127.0.0.1:9090
";
