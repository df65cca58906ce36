//! What the proxy counts, and its exposition as Prometheus text.
//!
//! Every reason that the log names is a variant of an enum here, with a counter
//! of its own.
//!
//! | File | What |
//! |---|---|
//! | `counter.rs` | numbers that grow, that go up and down, and times that add up |
//! | `dcs.rs` | the numbers of each DC |
//! | `decimal.rs` | fractions without floating point |
//! | `exposition.rs` | the table of all that the page shows |
//! | `histogram.rs` | how many values fell below each of a few bounds |
//! | `monitoring.rs` | a test of the dashboard and the alerts in `config/monitoring` |
//! | `page.rs` | the text format |
//! | `process.rs` | processor time, memory and descriptors |
//! | `reasons.rs` | why things happened, for the page and for the log |
//! | `row.rs` | one family of the page: its name, kind and values |

mod counter;
mod dcs;
mod decimal;
mod exposition;
mod histogram;
#[cfg(test)]
mod monitoring;
mod page;
mod process;
mod reasons;
mod row;

use std::cell::Cell;
use std::time::Duration;

use crate::wire::dc::DcId;

pub(crate) use counter::{Counter, Gauge, TotalTime};
pub(crate) use dcs::{DcMetrics, Dcs};
pub(crate) use histogram::Histogram;
#[cfg(feature = "ctl")]
pub(crate) use process::resident_bytes;
pub(crate) use reasons::{
    ByReason, ClientKind, CloseReason, ConnectFailure, ConnectionEnd, FrontingFailure,
    HandshakeOutcome, LinkEnd, MigrationOutcome, ProbeOutcome, Reason, RefreshOutcome,
    RejectReason, Revocation, RouteKind, RouteResult, WebCarrier, WebEnd, WebRefusal,
};

const MILLISECOND: u64 = 1000;
const SECOND: u64 = 1000 * MILLISECOND;
const HOUR: u64 = 3600 * SECOND;

const HANDSHAKE_BOUNDS: &[u64] = &[
    MILLISECOND,
    5 * MILLISECOND,
    20 * MILLISECOND,
    100 * MILLISECOND,
    500 * MILLISECOND,
    2 * SECOND,
    10 * SECOND,
];
const SESSION_BOUNDS: &[u64] = &[
    SECOND,
    10 * SECOND,
    60 * SECOND,
    600 * SECOND,
    HOUR,
    6 * HOUR,
    24 * HOUR,
];
const SHARING_BOUNDS: &[u64] = &[1, 3, 10, 30, 100, 300, 1000];

/// All numbers of one process.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// For how long the process has run. Set before [`render`](Self::render).
    pub(crate) uptime: Cell<Duration>,

    /// Connections taken from the kernel, whatever became of them.
    pub(crate) accepted: Counter,
    /// Connections whose handshake is not done.
    pub(crate) handshaking: Gauge,
    pub(crate) handshakes: ByReason<HandshakeOutcome>,
    pub(crate) handshake_time: Histogram,
    pub(crate) rejected: ByReason<RejectReason>,
    /// Strangers who were connected to the site, by why they are strangers.
    pub(crate) fronted: ByReason<RejectReason>,
    pub(crate) fronted_now: Gauge,
    pub(crate) fronting_failures: ByReason<FrontingFailure>,
    pub(crate) site_probes: ByReason<ProbeOutcome>,
    /// Times that accepting stopped because descriptors ran out.
    pub(crate) accept_pauses: Counter,

    /// Clients past their handshake.
    pub(crate) clients: Gauge,
    pub(crate) clients_by_kind: ByReason<ClientKind>,
    pub(crate) sessions_by_route: ByReason<RouteKind>,
    pub(crate) session_time: Histogram,
    pub(crate) closed: ByReason<CloseReason>,
    /// Seen from us: `in` is what the client sent.
    pub(crate) client_bytes_in: Counter,
    pub(crate) client_bytes_out: Counter,
    pub(crate) client_packets_in: Counter,
    pub(crate) client_packets_out: Counter,
    pub(crate) quick_acks: Counter,
    /// Acknowledgements after which no packet came soon enough to share its TLS record.
    pub(crate) quick_acks_dropped: Counter,
    /// Errors −404 of middle proxies that clients did not get.
    pub(crate) server_errors_filtered: Counter,

    pub(crate) dcs: Dcs,
    pub(crate) connect_failures: ByReason<ConnectFailure>,
    pub(crate) connection_ends: ByReason<ConnectionEnd>,
    /// Clients on a connection, the new one included, when it is put there.
    pub(crate) clients_per_connection: Histogram,
    pub(crate) migrations: ByReason<MigrationOutcome>,
    /// Seen from us: `in` is what Telegram sent.
    pub(crate) dc_bytes_in: Counter,
    pub(crate) dc_bytes_out: Counter,
    pub(crate) dc_packets_in: Counter,
    pub(crate) dc_packets_out: Counter,
    pub(crate) unknown_rpc: Counter,

    /// Time that a connection to Telegram was not read because a client was
    /// slow, and how often that began.
    pub(crate) backpressure: TotalTime,
    pub(crate) backpressure_events: Counter,
    /// Connections to Telegram left to the slow clients on them.
    pub(crate) isolations: Counter,
    /// Sessions ended for taking nothing while others waited behind them.
    pub(crate) slow_cuts: Counter,
    /// Set before [`render`](Self::render); in bytes.
    pub(crate) buffers_used: Gauge,
    pub(crate) buffers_total: Gauge,
    /// Readers that had to wait for buffers.
    pub(crate) buffer_waits: Counter,
    /// Large packets of clients. Set before [`render`](Self::render): bytes of
    /// the buffers that they hold, how many hold some, how many wait for some.
    pub(crate) buffers_claimed: Gauge,
    pub(crate) buffer_holders: Gauge,
    pub(crate) buffer_waiters: Gauge,
    pub(crate) buffer_revocations: ByReason<Revocation>,

    /// Seconds between this machine's clock and Telegram's, either way.
    pub(crate) clock_offset: Gauge,
    pub(crate) refreshes: ByReason<RefreshOutcome>,
    pub(crate) config_reloads: Counter,
    pub(crate) config_reload_failures: Counter,
    /// Set before [`render`](Self::render).
    pub(crate) log_lines_lost: Gauge,

    /// Open links, and the streams on them.
    pub(crate) links: Gauge,
    pub(crate) link_streams: Gauge,
    /// Round-trip time of the last ping on any link, in microseconds.
    pub(crate) link_rtt_micros: Gauge,
    pub(crate) link_ends: ByReason<LinkEnd>,
    /// Seen from us, without what TLS adds.
    pub(crate) link_bytes_in: Counter,
    pub(crate) link_bytes_out: Counter,
    /// Streams ended because they held more than their share of the buffers.
    pub(crate) link_evictions: Counter,
    /// Streams that a back had no place for.
    pub(crate) link_refusals: Counter,

    /// Web sessions that are there, and their streams.
    pub(crate) web_sessions: Gauge,
    pub(crate) web_streams: Gauge,
    pub(crate) web_pages: Counter,
    /// Times that a web session went on a carrier.
    pub(crate) web_carriers: ByReason<WebCarrier>,
    pub(crate) web_ends: ByReason<WebEnd>,
    pub(crate) web_refusals: ByReason<WebRefusal>,
    /// Web streams that there was no place for.
    pub(crate) web_streams_refused: Counter,
    /// Web streams ended because their clients took nothing.
    pub(crate) web_streams_stuck: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            uptime: Cell::default(),
            accepted: Counter::default(),
            handshaking: Gauge::default(),
            handshakes: ByReason::default(),
            handshake_time: Histogram::of_times(HANDSHAKE_BOUNDS),
            rejected: ByReason::default(),
            fronted: ByReason::default(),
            fronted_now: Gauge::default(),
            fronting_failures: ByReason::default(),
            site_probes: ByReason::default(),
            clock_offset: Gauge::default(),
            accept_pauses: Counter::default(),
            clients: Gauge::default(),
            clients_by_kind: ByReason::default(),
            sessions_by_route: ByReason::default(),
            session_time: Histogram::of_times(SESSION_BOUNDS),
            closed: ByReason::default(),
            client_bytes_in: Counter::default(),
            client_bytes_out: Counter::default(),
            client_packets_in: Counter::default(),
            client_packets_out: Counter::default(),
            quick_acks: Counter::default(),
            quick_acks_dropped: Counter::default(),
            server_errors_filtered: Counter::default(),
            dcs: Dcs::default(),
            connect_failures: ByReason::default(),
            connection_ends: ByReason::default(),
            clients_per_connection: Histogram::of_counts(SHARING_BOUNDS),
            migrations: ByReason::default(),
            dc_bytes_in: Counter::default(),
            dc_bytes_out: Counter::default(),
            dc_packets_in: Counter::default(),
            dc_packets_out: Counter::default(),
            unknown_rpc: Counter::default(),
            backpressure: TotalTime::default(),
            backpressure_events: Counter::default(),
            isolations: Counter::default(),
            slow_cuts: Counter::default(),
            buffers_used: Gauge::default(),
            buffers_total: Gauge::default(),
            buffer_waits: Counter::default(),
            buffers_claimed: Gauge::default(),
            buffer_holders: Gauge::default(),
            buffer_waiters: Gauge::default(),
            buffer_revocations: ByReason::default(),
            refreshes: ByReason::default(),
            config_reloads: Counter::default(),
            config_reload_failures: Counter::default(),
            log_lines_lost: Gauge::default(),
            links: Gauge::default(),
            link_streams: Gauge::default(),
            link_rtt_micros: Gauge::default(),
            link_ends: ByReason::default(),
            link_bytes_in: Counter::default(),
            link_bytes_out: Counter::default(),
            link_evictions: Counter::default(),
            link_refusals: Counter::default(),
            web_sessions: Gauge::default(),
            web_streams: Gauge::default(),
            web_pages: Counter::default(),
            web_carriers: ByReason::default(),
            web_ends: ByReason::default(),
            web_refusals: ByReason::default(),
            web_streams_refused: Counter::default(),
            web_streams_stuck: Counter::default(),
        }
    }
}

impl Metrics {
    /// A client is in. Ends with [`client_left`](Self::client_left).
    pub(crate) fn client_joined(&self, kind: ClientKind, handshake: Duration) {
        self.clients.inc();
        self.clients_by_kind.inc(kind);
        self.handshakes.inc(HandshakeOutcome::Accepted);
        self.handshake_time.observe_time(handshake);
    }

    pub(crate) fn client_left(&self, reason: CloseReason, session: Duration) {
        self.clients.dec();
        self.closed.inc(reason);
        self.session_time.observe_time(session);
    }

    /// A connection did not become a client.
    pub(crate) fn client_rejected(&self, reason: RejectReason) {
        self.rejected.inc(reason);
        self.handshakes.inc(match reason {
            RejectReason::TimedOut => HandshakeOutcome::TimedOut,
            RejectReason::Abandoned => HandshakeOutcome::Abandoned,
            _ => HandshakeOutcome::Rejected,
        });
    }

    /// A connection to Telegram is ready. Ends with
    /// [`dc_ended`](Self::dc_ended).
    pub(crate) fn dc_opened(&self, dc: DcId) {
        let row = self.dcs.of(dc);
        row.connections.inc();
        row.opened.inc();
    }

    pub(crate) fn dc_failed(&self, dc: DcId, failure: ConnectFailure) {
        self.dcs.of(dc).failed.inc();
        self.connect_failures.inc(failure);
    }

    pub(crate) fn dc_ended(&self, dc: DcId, end: ConnectionEnd) {
        let row = self.dcs.of(dc);
        row.connections.dec();
        row.ended.inc();
        self.connection_ends.inc(end);
    }

    /// A try to reach this DC by a route of `--route`, by its word there, or what became
    /// of it.
    pub(crate) fn route_tried(&self, dc: DcId, route: &'static str, result: RouteResult) {
        self.dcs.of(dc).routes.inc(route, result);
    }

    /// A session uses this DC. Ends with
    /// [`session_closed`](Self::session_closed).
    pub(crate) fn session_opened(&self, dc: DcId, route: RouteKind) {
        self.dcs.of(dc).joined(route);
        self.sessions_by_route.inc(route);
    }

    pub(crate) fn session_closed(&self, dc: DcId, route: RouteKind) {
        self.dcs.of(dc).left(route);
    }

    /// Appends everything in the Prometheus text format.
    pub(crate) fn render(&self, out: &mut String) {
        exposition::render(self, out);
    }
}
