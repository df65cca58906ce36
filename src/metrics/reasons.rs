use std::marker::PhantomData;

use super::counter::Counter;

/// A closed list of things that may happen. Each has a label in the metrics
/// and a sentence in the log (`Display`), so neither can exist without the
/// other.
pub(crate) trait Reason: Copy + std::fmt::Display + 'static {
    const ALL: &'static [Self];

    /// Stable: dashboards and alarms are built on it.
    fn label(self) -> &'static str;

    fn index(self) -> usize;
}

/// A counter for every variant of a [`Reason`].
#[derive(Debug)]
pub(crate) struct ByReason<R> {
    counts: Box<[Counter]>,
    reasons: PhantomData<R>,
}

impl<R: Reason> Default for ByReason<R> {
    fn default() -> Self {
        Self {
            counts: R::ALL.iter().map(|_| Counter::default()).collect(),
            reasons: PhantomData,
        }
    }
}

impl<R: Reason> ByReason<R> {
    pub(crate) fn inc(&self, reason: R) {
        if let Some(count) = self.counts.get(reason.index()) {
            count.inc();
        }
    }

    pub(crate) fn get(&self, reason: R) -> u64 {
        self.counts.get(reason.index()).map_or(0, Counter::get)
    }

    #[cfg(any(test, feature = "ctl"))]
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }
}

/// A [`ByReason`] of whatever reasons.
pub(super) trait Counts {
    /// The `number`th reason's label and count.
    fn nth(&self, number: usize) -> Option<(&'static str, u64)>;
}

impl<R: Reason> Counts for ByReason<R> {
    fn nth(&self, number: usize) -> Option<(&'static str, u64)> {
        let count = self.counts.get(number)?;
        let reason = R::ALL.get(number)?;
        Some((reason.label(), count.get()))
    }
}

/// Declares a [`Reason`]: `Variant "label" "sentence for the log";`
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $label:literal $sentence:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $(#[doc = $sentence] $variant),+ }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $sentence),+ })
            }
        }
    };
}

reasons! {
    /// How a client that got in talks.
    ClientKind {
        Abridged "abridged" "classic, abridged";
        Intermediate "intermediate" "classic, intermediate";
        Padded "padded" "padded (dd)";
        FakeTls "tls" "fake-TLS (ee)";
        Web "web" "a WEB stream";
    }
}

reasons! {
    /// How a session reaches its DC.
    RouteKind {
        Middle "middle" "through a middle proxy";
        Direct "direct" "directly";
        Link "link" "through the link";
    }
}

reasons! {
    /// How a client's handshake ended.
    HandshakeOutcome {
        Accepted "accepted" "accepted";
        Rejected "rejected" "rejected";
        TimedOut "timed_out" "no whole handshake within --handshake-timeout";
        Abandoned "abandoned" "the client went away in the middle of its handshake";
    }
}

reasons! {
    /// Why a connection from outside did not become a client.
    RejectReason {
        TooManyClients "too_many_clients" "--max-clients are connected";
        UnknownSecret "unknown_secret" "no secret of this listener fits";
        ClassicNotAllowed "classic_not_allowed" "a classic client, which --allow does not name";
        PaddedNotAllowed "padded_not_allowed" "a padded (dd) client, which --allow does not name";
        WebSecret "web_secret" "a WEB stream that does not begin with its session's secret";
        WebNotPadded "web_not_padded" "a classic WEB stream of a dd secret";
        TlsNotAllowed "tls_not_allowed" "a fake-TLS (ee) client, which --allow does not name";
        BadHello "bad_hello" "a malformed TLS hello";
        NoServerName "no_server_name" "a TLS hello without a server name";
        UnknownServerName "unknown_server_name" "a TLS hello for a name that is not in --tls-domain";
        ClockSkew "clock_skew" "a TLS hello from another time than this machine's";
        Http "http" "an HTTP request";
        SiteAnswered "site_answered" "an unfinished handshake, which the site did not wait for";
        Replay "replay" "the same handshake as an earlier one";
        UptimesFull "uptimes_full" "a TLS hello with the client's uptime instead of the time, and no place to remember it for ever";
        Loop "loop" "it went out from this proxy itself: --upstream leads back here";
        Flood "flood" "its address makes more connections than --flood-limit and proves nothing";
        Evicted "evicted" "it has proven nothing, and others need its place (--max-handshakes, --max-clients)";
        BadProxyHeader "bad_proxy_header" "a relay of --proxy-protocol sent no PROXY header: switch it on there (send-proxy-v2)";
        PolicyConnections "policy_connections" "more connections than a --policy allows";
        NotInTable "not_in_table" "it is not in the table of a --policy";
        InTable "in_table" "it is in a table that a --policy keeps out";
        SecretExpired "secret_expired" "its secret has expired";
        QuotaUsed "quota_used" "its secret's quota is used up";
        SecretConnections "secret_connections" "more connections than its secret's max-connections";
        SecretAddresses "secret_addresses" "more addresses than its secret's max-ips";
        BadTransport "bad_transport" "a fake-TLS client without the padded transport";
        TimedOut "timed_out" "no whole handshake within --handshake-timeout";
        Abandoned "abandoned" "the client went away in the middle of its handshake";
    }
}

reasons! {
    /// Why a stranger was not connected to the site.
    FrontingFailure {
        TooMany "too_many" "as many strangers are there as may be";
        Unresolved "unresolved" "the site's name cannot be resolved";
        Refused "refused" "the site cannot be connected to";
        ConnectTimeout "connect_timeout" "the site does not answer";
        OurAddress "our_address" "the site's address is this proxy's own";
        Loop "loop" "the connection seems to come from this proxy itself";
    }
}

reasons! {
    /// How asking a site for its TLS answer went.
    ProbeOutcome {
        Measured "measured" "measured";
        Unreachable "unreachable" "the site cannot be reached";
        NoModel "no_model" "the site's answer is no model for ours";
        NotKept "not_kept" "measured, but could not be kept on disk";
    }
}

reasons! {
    /// Why a client's session ended.
    CloseReason {
        ClientClosed "client_closed" "the client closed";
        ClientBroken "client_broken" "the client's connection broke";
        IdleTimeout "idle_timeout" "no byte within --idle-timeout";
        SendTimeout "send_timeout" "the client took no data within --send-timeout";
        StalledPacket "stalled_packet" "the client stopped in the middle of a packet for --send-timeout";
        PacketTooLong "packet_too_long" "the client sent a packet over 1 MiB";
        BadPacket "bad_packet" "the client broke the transport's framing";
        BadRecord "bad_record" "the client broke the framing of TLS records";
        HeldBuffers "held_buffers" "the client was slow to finish a packet, and others waited for its buffers";
        TooSlow "too_slow" "the client took its data so slowly that others waited for it";
        ClosedByTelegram "closed_by_telegram" "Telegram closed this client";
        MidSend "mid_send" "the connection to Telegram died with a packet half sent; the client resends";
        MidAnswer "mid_answer" "the connection to Telegram died in the middle of an answer";
        NoConnection "no_connection" "the connection to Telegram died and no other could be had";
        MiddleUnavailable "middle_unavailable" "no middle proxy of the DC can be reached";
        DirectUnavailable "direct_unavailable" "no address of the DC can be reached";
        RouteFailed "route_failed" "nothing came by its route to the DC, and there is another";
        UnknownDc "unknown_dc" "the client asked for a DC that is not known";
        NoLink "no_link" "there is no link to a back";
        LinkLost "link_lost" "the link to the back broke";
        SecretExpired "secret_expired" "its secret has expired";
        QuotaUsed "quota_used" "its secret's quota is used up";
        SecretRemoved "secret_removed" "its secret was taken out of the config, or renamed while it shook hands";
        NoAnswer "no_answer" "it answered no probe while another client of its secret waited for its place";
        Shutdown "shutdown" "the proxy is stopping";
    }
}

reasons! {
    /// Why the buffers of an unfinished packet went to others, who waited for
    /// them.
    Revocation {
        Blocking "blocking" "others waited for buffers that it held, and it did not go on";
        TooSlow "too_slow" "it came slower than 4 KiB/s over 30 s";
        TooLong "too_long" "it was not there after 5 minutes";
    }
}

reasons! {
    /// Why no connection to a DC or middle proxy came about.
    ConnectFailure {
        Refused "refused" "cannot connect";
        ConnectTimeout "connect_timeout" "no answer to connecting: blocked or down";
        HandshakeTimeout "handshake_timeout" "connected, but no answer to the handshake";
        HandshakeClosed "handshake_closed" "closed during the handshake: wrong public address (--external-ip), or a NAT that rewrites ports";
        HandshakeRefused "handshake_refused" "Telegram refused the handshake";
        ClockSkew "clock_skew" "this machine's clock is off Telegram's by more than 30 s: set it (NTP)";
        BadAnswer "bad_answer" "the answer is not a middle proxy's";
    }
}

reasons! {
    /// How a try to reach a DC by one of the routes of `--route` went, or what its
    /// connection showed later.
    RouteResult {
        Opened "opened" "a connection came about";
        Blocked "blocked" "no answer to connecting: blocked or down";
        Useless "useless" "it refuses, or there is no way to it";
        ProxyIll "proxy_ill" "the --via does not work";
        Filtered "filtered" "no answer to the TLS hello: the name is filtered on the way";
        Intercepted "intercepted" "the certificate of somebody else: intercepted on the way";
        NotServed "not_served" "redirected: this DC is not served there";
        Ill "ill" "no answer in time, or not the one that it should be";
        Queued "queued" "too many wait for their turn to greet the next proxy";
        Loop "loop" "it leads back to this proxy itself";
        Starves "starves" "it connects, and then no byte comes to a client that has asked: filtered on the way";
        FallsSilent "falls_silent" "three in a row fell silent after 8 to 32 KB: filtered on the way";
        EndsEarly "ends_early" "the other side closed three in a row without a byte";
        CutShort "cut_short" "given up before it could be known";
    }
}

reasons! {
    /// Why a connection to a DC or middle proxy ended.
    ConnectionEnd {
        ClosedByTelegram "closed_by_telegram" "Telegram closed it";
        Broken "broken" "the connection broke";
        Protocol "protocol" "Telegram's bytes made no sense (length, sequence or checksum)";
        PingTimeout "ping_timeout" "no answer to a ping: the connection is dead";
        Drained "drained" "renewed, or no longer needed";
        Slow "slow" "too many are left to slow clients, and this was the slowest";
        Shutdown "shutdown" "the proxy is stopping";
    }
}

reasons! {
    /// What became of a client whose connection to a middle proxy ended.
    MigrationOutcome {
        MovedIdle "moved_idle" "moved to another connection, nothing was under way";
        MovedQueued "moved_queued" "moved to another connection together with its waiting packet";
        ClosedMidSend "closed_mid_send" "closed, because its packet was half sent";
        ClosedMidAnswer "closed_mid_answer" "closed in the middle of an answer";
        NoConnection "no_connection" "closed, because no other connection could be had";
    }
}

reasons! {
    /// How a refresh of Telegram's lists went.
    RefreshOutcome {
        Fetched "fetched" "fetched";
        Unchanged "unchanged" "fetched, nothing new";
        FetchFailed "fetch_failed" "could not be fetched";
        Unusable "unusable" "fetched, but did not parse whole; the last good copy stays";
        CacheFailed "cache_failed" "fetched, but could not be kept on disk";
    }
}

reasons! {
    /// Why a link between front and back ended, or did not come about.
    LinkEnd {
        Closed "closed" "the other side closed it";
        Broken "broken" "the connection broke";
        Silent "silent" "nothing was heard for 15 s: the network between is down, or the other side stands still";
        Stuck "stuck" "the other side does not take what is sent: is the network between too slow, or that machine overloaded?";
        Protocol "protocol" "bytes of the other side made no sense: are both ends of the same version?";
        CreditOverrun "credit_overrun" "a stream sent more than it was given credit for: are both ends of the same version?";
        Shutdown "shutdown" "one side is stopping, or does without it";
        Unreachable "unreachable" "cannot connect";
        Unresolved "unresolved" "the name of the back is not found";
        PlainOnPublic "plain_on_public" "without TLS, the name of the back leads to a public address";
        HandshakeTimeout "handshake_timeout" "no whole handshake in time";
        NotALink "not_a_link" "the other side is no link peer";
        Version "version" "the two sides speak different versions of the link: update the older one";
        Role "role" "both sides have the same role: one needs --role front, the other --role back";
        KeyMissing "key_missing" "only one side has a --link-psk: give both the same file";
        WrongKey "wrong_key" "the two sides have different keys: give both the same --link-psk file";
        Tls "tls" "TLS failed: see the certificates";
        Revoked "revoked" "its certificate is in --link-refuse";
        TooMany "too_many" "the back has no more links for this front (of 256 for all, fewer with little memory or a low limit of open files): lower its --link-connections";
        PushedOut "pushed_out" "strangers pushed out its handshake";
    }
}

reasons! {
    /// What brings a web session's frames.
    WebCarrier {
        WebSocket "websocket" "a WebSocket";
        Https "https" "requests over HTTPS";
    }
}

reasons! {
    /// Why a web session ended.
    WebEnd {
        ClosedByApp "closed_by_app" "the app closed it";
        Lost "lost" "its connection broke";
        Silent "silent" "nothing was heard of the app for too long";
        BadFrame "bad_frame" "the app's frames made no sense";
        BadStream "bad_stream" "the app named a stream that is not open, or opened one twice";
        CreditOverrun "credit_overrun" "the app sent more than it was granted";
        BadSequence "bad_sequence" "the app's requests came out of their order, or changed when they were repeated";
        PushedOut "pushed_out" "its address had the most, and others needed its place";
        SecretRemoved "secret_removed" "its secret or its host was taken out of the config";
        Shutdown "shutdown" "the proxy is stopping";
    }
}

reasons! {
    /// Why a request with an authentic secret did not get what it wanted.
    WebRefusal {
        Misplaced "misplaced" "a secret in a place or a form that no app uses";
        Full "full" "too many web sessions are there, or begin";
        Spent "spent" "a token that is too old, or whose session is over";
        Carrier "carrier" "its session goes another way already";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: Reason>() {
        let counters = ByReason::<R>::default();
        for (position, reason) in R::ALL.iter().enumerate() {
            assert_eq!(reason.index(), position);
            let label = reason.label();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            let same = R::ALL.iter().filter(|other| other.label() == label);
            assert_eq!(same.count(), 1, "{label}");
            counters.inc(*reason);
            assert_eq!(counters.get(*reason), 1);
            assert_eq!(counters.total(), position as u64 + 1);
        }
    }

    #[test]
    fn every_reason_has_a_label_and_a_counter_of_its_own() {
        check::<ClientKind>();
        check::<RouteKind>();
        check::<HandshakeOutcome>();
        check::<RejectReason>();
        check::<FrontingFailure>();
        check::<ProbeOutcome>();
        check::<CloseReason>();
        check::<Revocation>();
        check::<ConnectFailure>();
        check::<ConnectionEnd>();
        check::<MigrationOutcome>();
        check::<RefreshOutcome>();
        check::<WebCarrier>();
        check::<WebEnd>();
        check::<WebRefusal>();
    }
}
