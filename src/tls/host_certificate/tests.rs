use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
};

use super::*;

const HOST: &str = "proxy.example.com";

/// 2026-06-01.
const NOW: i64 = 1_780_272_000;

/// Days before and behind `NOW` of an authority that outlives all.
const BETWEEN: (i64, i64) = (1000, 1000);

struct World {
    roots: RootCertStore,
    root: Issuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "root");
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.into()).unwrap();
        Self {
            roots,
            root: Issuer::new(params, key),
        }
    }

    /// A certificate of an authority between the root and the host, and of the host, good
    /// for so many days around `NOW`.
    fn chain(&self, key: &KeyPair, before: i64, after: i64) -> [Certificate; 2] {
        self.chain_between(key, before, after, BETWEEN)
    }

    /// The same, with the days of the authority.
    fn chain_between(
        &self,
        key: &KeyPair,
        before: i64,
        after: i64,
        between: (i64, i64),
    ) -> [Certificate; 2] {
        let mut params = CertificateParams::default();
        set_days(&mut params, between.0, between.1);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params
            .distinguished_name
            .push(DnType::CommonName, "between");
        let between_key = KeyPair::generate().unwrap();
        let between = params.signed_by(&between_key, &self.root).unwrap();
        let issuer = Issuer::new(params, between_key);
        let own = host(before, after).signed_by(key, &issuer);
        [own.unwrap(), between]
    }
}

fn host(before: i64, after: i64) -> CertificateParams {
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    set_days(&mut params, before, after);
    params
}

/// Good for so many days before `NOW`, and behind it.
fn set_days(params: &mut CertificateParams, before: i64, after: i64) {
    let at = |days: i64| {
        let unix = NOW + days * x509::DAY;
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix as u64)
    };
    (params.not_before, params.not_after) = (at(-before), at(after));
}

fn read(chain: &str, key: &str) -> Result<HostCertificate, CertificateError> {
    let (chain_path, key_path) = (Path::new("chain.pem"), Path::new("key.pem"));
    HostCertificate::of((chain_path, chain.as_bytes()), (key_path, key.as_bytes()))
}

fn pem(chain: &[Certificate]) -> String {
    chain.iter().map(Certificate::pem).collect()
}

fn says(chain: &str, key: &str) -> String {
    read(chain, key).err().unwrap().to_string()
}

#[test]
fn each_kind_of_key_is_read_with_its_chain() {
    let world = World::new();
    let kinds: [&'static SignatureAlgorithm; 2] =
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384];
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let chain = world.chain(&key, 10, 60);
        let text = format!("a comment\n{}{}", pem(&chain), key.serialize_pem());
        // Both may be in one file.
        for key in [&key.serialize_pem(), &text] {
            let read = read(&text, key).unwrap();
            assert_eq!(read.certified().cert.len(), 2);
            assert_eq!(read.until(), NOW + 60 * x509::DAY);
            assert_eq!(read.concerns(HOST, &world.roots, NOW), []);
            assert_eq!(read.concerns("PROXY.example.com", &world.roots, NOW), []);
        }
    }
}

#[test]
fn what_is_wrong_with_files_is_said_with_the_way_out() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let chain = pem(&world.chain(&key, 10, 60));
    let key = key.serialize_pem();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let for_ed25519 = pem(&world.chain(&ed25519, 10, 60));
    for (chain, key, word) in [
        (
            "",
            &*key,
            "chain.pem: no certificate is in it: give the PEM file",
        ),
        (&*key, &key, "no certificate is in it"),
        (&chain, &chain, "key.pem: no private key is in it"),
        (
            &chain,
            &other,
            "key.pem is not the key of the first certificate in chain.pem",
        ),
        (&chain.repeat(6), &key, "12 certificates are in it"),
        (
            &chain.replace("-----END", "!-----END"),
            &key,
            "chain.pem: damaged",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "its first",
        ),
        (
            &chain,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "openssl pkey",
        ),
        (
            &chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "make it ECDSA",
        ),
        (
            &for_ed25519,
            &ed25519.serialize_pem(),
            "browsers do not take: make it ECDSA",
        ),
    ] {
        let said = says(chain, key);
        assert!(said.contains(word), "{said}");
    }
    let missing = HostCertificate::read(Path::new("/nonexistent"), Path::new("/nonexistent"));
    let said = missing.err().unwrap().to_string();
    assert!(said.starts_with("cannot read /nonexistent: "), "{said}");
}

#[test]
fn what_a_browser_would_not_take_is_noticed() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem();
    let concerns = |chain: &[Certificate], host: &str, now: i64| {
        let read = read(&pem(chain), &text).unwrap();
        read.concerns(host, &world.roots, now)
    };
    let whole = world.chain(&key, 10, 60);
    let at = |days: i64| NOW + days * x509::DAY;
    assert_eq!(
        concerns(&whole, "www.example.com", NOW),
        [Concern::OtherName]
    );
    assert_eq!(concerns(&whole, "not a name", NOW), [Concern::OtherName]);
    assert_eq!(concerns(&whole[..1], HOST, NOW), [Concern::Unknown(1)]);
    assert_eq!(concerns(&whole, HOST, at(61)), [Concern::Expired(at(60))]);
    assert_eq!(concerns(&whole, HOST, at(-11)), [Concern::NotYet(at(-10))]);
    assert_eq!(
        concerns(&whole, HOST, at(49)),
        [Concern::ExpiresSoon(at(60))]
    );
    assert_eq!(concerns(&whole, HOST, at(48)), []);
    // A clock that has not been set tells nothing.
    assert_eq!(concerns(&whole, HOST, 1000), []);
    // One of six days is as it should be with two left.
    let short = world.chain(&key, 4, 2);
    assert_eq!(concerns(&short, HOST, NOW), []);
    // A chain whose other certificate is over tells of no second evil where the first is told.
    let mut old = BETWEEN;
    old.1 = -1;
    let mixed = world.chain_between(&key, 10, 60, old);
    let [Concern::Refused(said)] = &concerns(&mixed, HOST, NOW)[..] else {
        panic!("it is taken");
    };
    assert!(said.contains("the chain that came with it"), "{said}");
    let told = concerns(&mixed, HOST, at(61));
    assert_eq!(told, [Concern::Expired(at(60))]);
    let mut own = host(10, 60);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = own.self_signed(&key).unwrap();
    let [Concern::Refused(said)] = &concerns(&[own], HOST, NOW)[..] else {
        panic!("it is taken");
    };
    assert!(said.contains("get one of a public authority"), "{said}");
    let own = host(10, 60).self_signed(&key).unwrap();
    let own = concerns(&[own], HOST, NOW);
    assert_eq!(own, [Concern::Unknown(1)]);
    let said = own[0].text(HOST, NOW);
    assert!(said.contains("fullchain.pem"), "{said}");
    let said = Concern::ExpiresSoon(at(3)).text(HOST, NOW);
    assert_eq!(
        said,
        "it expires in 3 days (2026-06-04): see why it is not renewed"
    );
}
