use std::time::Instant;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm as Kind};
use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::tls::provider::web_provider;
use crate::tls::server::tickets;
use crate::wire::after_flight::{AfterFlight, GivenUp, JudgesAs};

const CCS: &[u8] = &[0x14, 3, 3, 0, 1, 1];

fn certified(kind: &'static Kind) -> Arc<CertifiedKey> {
    let key = KeyPair::generate_for(kind).unwrap();
    let made = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let made = made.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = web_provider().key_provider.load_private_key(key).unwrap();
    Arc::new(CertifiedKey::new(vec![made.into()], key))
}

/// A server that has sent its flight.
fn answered(config: &Arc<ServerConfig>) -> Shaking {
    let side = UnbufferedServerConnection::new(config.clone()).unwrap();
    let mut shaking = Shaking::new(Side::Server(side));
    let hello = browser_hello(&"a.example".parse().unwrap(), true, &mut fill_random);
    assert!(matches!(shaking.advance(&hello), Ok(Progress::Waits)));
    shaking.outgoing().clear();
    shaking
}

fn record(kind: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut record = vec![kind, 3, 3, high, low];
    record.resize(5 + usize::from(length), 7);
    record
}

/// What follows an answer to an ee client and is not its: our own TLS gives up where that
/// answer's server does, with a last word of the same length.
#[test]
fn it_gives_up_as_answers_to_ee_clients_do() {
    let hosts = vec![("a.example".to_owned(), certified(&PKCS_ECDSA_P256_SHA256))];
    let config = server(Arc::new(ByName::new(hosts)), &tickets().unwrap()).unwrap();
    let with_ccs = |rest: &[u8]| [CCS, rest].concat();
    let mut differ = Vec::new();
    for (what, bytes) in [
        ("nothing", vec![]),
        ("ccs", CCS.to_vec()),
        ("a header's part", vec![0x17, 3]),
        ("a record's part", with_ccs(&record(0x17, 64)[..68])),
        ("a record behind ccs", with_ccs(&record(0x17, 64))),
        ("a record", record(0x17, 64)),
        ("a short record", record(0x17, 10)),
        ("an empty record", record(0x17, 0)),
        ("the longest", record(0x17, 16_640)),
        ("its part", record(0x17, 16_640)[..16_000].to_vec()),
        ("a longer one's header", record(0x17, 16_641)[..5].to_vec()),
        ("another version", vec![0x17, 3, 2, 0, 64]),
        ("ccs of another version", vec![0x14, 3, 1, 0, 1]),
        ("a handshake's header", vec![0x16, 3, 3, 0, 64]),
        ("another kind", vec![0x20, 3, 3, 0, 64]),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("another ccs", vec![0x14, 3, 3, 0, 1, 2]),
        ("an empty ccs", vec![0x14, 3, 3, 0, 0]),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40]),
        ("a goodbye", vec![0x15, 3, 3, 0, 2, 1, 0]),
        ("a long alert", record(0x15, 3)),
        ("two ccs", [CCS, CCS, &record(0x17, 64)].concat()),
        ("many ccs", CCS.repeat(33)),
        ("a ccs of two", vec![0x14, 3, 3, 0, 2, 1, 1]),
        ("an empty alert", vec![0x15, 3, 3, 0, 0]),
        ("half an alert", vec![0x15, 3, 3, 0, 1, 2]),
        ("a level that is none", vec![0x15, 3, 3, 0, 2, 3, 0]),
        ("a warning", vec![0x15, 3, 3, 0, 2, 1, 41]),
        ("four cancellations", [0x15, 3, 3, 0, 2, 1, 90].repeat(4)),
        ("five", [0x15, 3, 3, 0, 2, 1, 90].repeat(5)),
        ("a heartbeat", record(0x18, 20)),
        ("a handshake", record(0x16, 20)),
        ("an older record", vec![0x17, 2, 3, 0, 9]),
        ("too long a record", vec![0x17, 3, 3, 0x48, 0]),
        ("nearly", vec![0x17, 3, 3, 0x47, 0xff]),
    ] {
        let mut own = answered(&config);
        let mut like = AfterFlight::of(JudgesAs::Rustls);
        let mut ends = [None, None];
        for (at, byte) in bytes.iter().enumerate() {
            if ends[0].is_none() {
                match own.advance(&[*byte]) {
                    Ok(Progress::Waits) => {}
                    Ok(_) => ends[0] = Some((at, GivenUp::Left, 0)),
                    Err(_) => {
                        let said = own.outgoing().len();
                        let end = match said {
                            0 => GivenUp::Left,
                            _ => GivenUp::Garbled,
                        };
                        ends[0] = Some((at, end, said));
                    }
                }
            }
            like.hear(&[*byte]);
            if let (None, Some(given_up)) = (ends[1], like.given_up()) {
                let said = match given_up {
                    GivenUp::Garbled => 24,
                    GivenUp::Left => 0,
                };
                ends[1] = Some((at, given_up, said));
            }
        }
        if ends[0] != ends[1] {
            differ.push(format!("{what}: own {:?}, ee {:?}", ends[0], ends[1]));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// By a key whose signature takes long.
#[test]
fn an_answer_takes_as_long_as_its_signature() {
    #[derive(Debug)]
    struct Slow(Arc<dyn SigningKey>);
    #[derive(Debug)]
    struct SlowSigner(Box<dyn Signer>);
    impl SigningKey for Slow {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            Some(Box::new(SlowSigner(self.0.choose_scheme(offered)?)))
        }
        fn algorithm(&self) -> SignatureAlgorithm {
            self.0.algorithm()
        }
    }
    impl Signer for SlowSigner {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
            std::thread::sleep(Duration::from_millis(60));
            self.0.sign(message)
        }
        fn scheme(&self) -> SignatureScheme {
            self.0.scheme()
        }
    }
    let key = certified(&PKCS_ECDSA_P256_SHA256);
    let slow = CertifiedKey::new(key.cert.clone(), Arc::new(Slow(key.key.clone())));
    let (tickets, name) = (tickets().unwrap(), "a.example".parse().unwrap());
    let began = Instant::now();
    let time = answer_time(&Arc::new(slow), &tickets, &name).unwrap();
    assert!(time >= Duration::from_millis(60) && time <= began.elapsed());
}
