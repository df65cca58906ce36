//! One order at an authority, step by step; every step blocks.

use std::sync::Arc;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use smol::future::block_on;

use super::asking::Asking;
use super::challenges::server_of;
use super::examine::roots;
use super::failure::{Failure, Refusal};
use super::papers::{KeptOrder, Papers};
use crate::config::AcmeConfig;
use crate::tls::HostCertificate;

/// What is to be got.
pub(super) struct Errand {
    pub(crate) host: String,
    pub(crate) config: AcmeConfig,
    pub(crate) papers: Papers,
    /// In seconds since 1970.
    pub(crate) now: u64,
}

pub(super) struct Dialogue {
    errand: Errand,
    asking: Asking,
    order: Order,
    /// Of the certificate to come.
    key: KeyPair,
    /// What proves the name is shown, and the authority has been told to look.
    has_called: bool,
    /// What is known of the order is new.
    is_fresh: bool,
}

/// What is to be done.
pub(super) enum Progress {
    /// Show this to the authority, then [call it](Dialogue::call).
    Prove(Arc<ServerConfig>),
    /// Look again a little later.
    Waits,
    Done(Got),
}

/// A certificate that is kept, in seconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Got {
    pub(crate) until: i64,
    pub(crate) renewal: i64,
}

/// How a dialogue has begun.
pub(super) struct Opened {
    pub(crate) dialogue: Dialogue,
    pub(crate) is_new_account: bool,
    /// It goes on with an order of an earlier run or attempt.
    pub(crate) goes_on: bool,
}

impl Dialogue {
    /// With the account that is kept, or a new one.
    pub(crate) fn open(errand: Errand) -> Result<Opened, Failure> {
        let asking = Asking::new(roots(&errand.config).map_err(Failure::Config)?);
        let failed = |error| Failure::of(error, asking.retry_after(errand.now));
        let (mut account, mut is_new_account) = block_on(account(&errand, &asking))?;
        let mut ordered = block_on(ordered(&errand, &account, &failed));
        if !is_new_account
            && let Err(failure) = &ordered
            && failure.is_of_kind("accountDoesNotExist")
        {
            errand.papers.set_account_aside();
            errand.papers.forget_order(&errand.host);
            (account, is_new_account) = block_on(self::account(&errand, &asking))?;
            ordered = block_on(self::ordered(&errand, &account, &failed));
        }
        let (order, key, goes_on) = ordered?;
        Ok(Opened {
            dialogue: Self {
                errand,
                asking,
                order,
                key,
                has_called: false,
                is_fresh: true,
            },
            is_new_account,
            goes_on,
        })
    }

    /// The next step.
    pub(crate) fn advance(mut self) -> Result<(Self, Progress), Failure> {
        match block_on(self.step()) {
            Ok(progress) => Ok((self, progress)),
            Err(failure) => {
                if failure.ends_order() {
                    self.errand.papers.forget_order(&self.errand.host);
                }
                Err(failure)
            }
        }
    }

    async fn step(&mut self) -> Result<Progress, Failure> {
        if !std::mem::take(&mut self.is_fresh) {
            let refreshed = self.order.refresh().await.map(drop);
            refreshed.map_err(|error| self.failed(error))?;
        }
        match self.order.state().status {
            OrderStatus::Pending => self.prove().await,
            OrderStatus::Ready => {
                let request = self.request()?;
                let told = self.order.finalize_csr(&request).await;
                told.map_err(|error| self.failed(error))?;
                // There may be a certificate at once.
                self.is_fresh = true;
                match self.order.state().status {
                    OrderStatus::Valid => self.take().await,
                    _ => {
                        self.is_fresh = false;
                        Ok(Progress::Waits)
                    }
                }
            }
            OrderStatus::Processing => Ok(Progress::Waits),
            OrderStatus::Valid => self.take().await,
            OrderStatus::Invalid => Err(self.refusal().await),
        }
    }

    /// The first name that is not proven: there is one.
    async fn prove(&mut self) -> Result<Progress, Failure> {
        let host = self.errand.host.clone();
        let mut authorizations = self.order.authorizations();
        while let Some(found) = authorizations.next().await {
            let mut found = match found {
                Ok(found) => found,
                Err(error) => return Err(self.failed(error)),
            };
            if found.status != AuthorizationStatus::Pending {
                continue;
            }
            let challenge = found.challenge(ChallengeType::TlsAlpn01);
            let challenge = challenge.ok_or(Failure::NoChallenge)?;
            if self.has_called {
                break;
            }
            let digest = challenge.key_authorization().digest();
            let Ok(digest) = digest.as_ref().try_into() else {
                break;
            };
            let server = server_of(&host, digest).map_err(Failure::Unusable)?;
            return Ok(Progress::Prove(server));
        }
        Ok(Progress::Waits)
    }

    /// What proves the name is shown: the authority may look.
    pub(crate) fn call(mut self) -> Result<Self, Failure> {
        let called = block_on(async {
            let mut authorizations = self.order.authorizations();
            while let Some(found) = authorizations.next().await {
                let mut found = found?;
                if found.status == AuthorizationStatus::Pending
                    && let Some(mut challenge) = found.challenge(ChallengeType::TlsAlpn01)
                    // An earlier run may have told it.
                    && challenge.status == ChallengeStatus::Pending
                {
                    return challenge.set_ready().await;
                }
            }
            Ok(())
        });
        called.map_err(|error| self.failed(error))?;
        self.has_called = true;
        Ok(self)
    }

    /// A request of ours for the certificate, signed with its key.
    fn request(&self) -> Result<Vec<u8>, Failure> {
        let made = || -> Result<Vec<u8>, rcgen::Error> {
            let mut params = CertificateParams::new([self.errand.host.clone()])?;
            params.distinguished_name = DistinguishedName::new();
            Ok(params.serialize_request(&self.key)?.der().to_vec())
        };
        made().map_err(|error| Failure::Unusable(error.to_string()))
    }

    async fn take(&mut self) -> Result<Progress, Failure> {
        let given = self.order.certificate().await;
        let Some(chain) = given.map_err(|error| self.failed(error))? else {
            return Ok(Progress::Waits);
        };
        let Errand { host, papers, .. } = &self.errand;
        let content = format!("{}\n{}", chain.trim_end(), self.key.serialize_pem());
        let read = HostCertificate::of_one(&papers.certificate_place(host), content.as_bytes());
        let read = read.map_err(|error| Failure::Unusable(error.to_string()))?;
        let kept = papers.keep_certificate(host, &content);
        kept.map_err(|(path, error)| Failure::Unkept(path, error))?;
        papers.forget_order(host);
        Ok(Progress::Done(Got {
            until: read.until(),
            renewal: read.renewal(),
        }))
    }

    /// Why the order has become void.
    async fn refusal(&mut self) -> Failure {
        if let Some(problem) = &self.order.state().error {
            return Failure::Refused(Refusal::new(problem, None));
        }
        let mut authorizations = self.order.authorizations();
        while let Some(found) = authorizations.next().await {
            let found = match found {
                Ok(found) => found,
                Err(error) => return self.failed(error),
            };
            let mut challenges = found.challenges.iter();
            if let Some(problem) = challenges.find_map(|challenge| challenge.error.as_ref()) {
                return Failure::Refused(Refusal::new(problem, None));
            }
        }
        Failure::Unusable("an order that is void, without a word why".to_owned())
    }

    fn failed(&self, error: Error) -> Failure {
        Failure::of(error, self.asking.retry_after(self.errand.now))
    }
}

/// The one that is kept, or a new one; whether it is new.
async fn account(errand: &Errand, asking: &Asking) -> Result<(Account, bool), Failure> {
    let failed = |error| Failure::of(error, asking.retry_after(errand.now));
    let unkept = |(path, error)| Failure::Unkept(path, error);
    let Errand { config, papers, .. } = errand;
    let contact = format!("mailto:{}", config.email);
    let builder = Account::builder_with_http(Box::new(asking.clone()));
    if let Some(kept) = papers.account() {
        let account = builder.from_credentials(kept.credentials).await;
        let account = account.map_err(failed)?;
        if kept.email != config.email
            && let Some(credentials) = papers.credentials()
            // If not, that is found out by the order.
            && account.update_contacts(&[&contact]).await.is_ok()
        {
            papers.keep_account(&credentials).map_err(unkept)?;
        }
        return Ok((account, false));
    }
    let new = NewAccount {
        contact: &[&contact],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = builder.create(&new, config.directory.clone(), None).await;
    let (account, credentials) = made.map_err(failed)?;
    let credentials = serde_json::to_value(&credentials);
    let credentials = credentials.map_err(|error| Failure::Unusable(error.to_string()))?;
    papers.keep_account(&credentials).map_err(unkept)?;
    Ok((account, true))
}

/// The order that was begun, or a new one, with the certificate's key; whether it was begun.
async fn ordered(
    errand: &Errand,
    account: &Account,
    failed: &dyn Fn(Error) -> Failure,
) -> Result<(Order, KeyPair, bool), Failure> {
    let Errand { host, papers, .. } = errand;
    if let Some(kept) = papers.order(host)
        && let Ok(key) = KeyPair::from_pem(&kept.key)
    {
        match account.order(kept.url).await {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    return Ok((order, key, true));
                }
                papers.forget_order(host);
            }
            // It has been forgotten there.
            Err(Error::Api(_)) => papers.forget_order(host),
            Err(error) => return Err(failed(error)),
        }
    }
    let unusable = |error: rcgen::Error| Failure::Unusable(error.to_string());
    let key = KeyPair::generate().map_err(unusable)?;
    let names = [Identifier::Dns(host.clone())];
    let order = account.new_order(&NewOrder::new(&names)).await;
    let order = order.map_err(failed)?;
    let kept = KeptOrder {
        url: order.url().to_owned(),
        key: key.serialize_pem(),
    };
    let kept = papers.keep_order(host, &kept);
    kept.map_err(|(path, error)| Failure::Unkept(path, error))?;
    Ok((order, key, false))
}
