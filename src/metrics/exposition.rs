use super::decimal::{Decimal, MICROS};
use super::page::Page;
use super::row::{
    Row, computed, counter, directions, gauge, histogram, per_dc, per_route, reasons,
};
use super::{Metrics, process};

const ROWS: &[Row] = &[
    counter("accepted", "Connections accepted", |m| &m.accepted),
    gauge(
        "handshaking",
        "Connections whose handshake is not done",
        |m| &m.handshaking,
    ),
    reasons("handshakes", "Handshakes by outcome", "outcome", |m| {
        &m.handshakes
    }),
    histogram(
        "handshake_seconds",
        "From accepting to the end of the handshake",
        |m| &m.handshake_time,
    ),
    reasons(
        "rejected",
        "Connections that did not become clients",
        "reason",
        |m| &m.rejected,
    ),
    reasons(
        "fronted",
        "Strangers connected to the site",
        "reason",
        |m| &m.fronted,
    ),
    gauge("fronted", "Strangers connected to the site now", |m| {
        &m.fronted_now
    }),
    reasons(
        "fronting_failures",
        "Strangers not connected to the site",
        "reason",
        |m| &m.fronting_failures,
    ),
    reasons(
        "site_probes",
        "Times that a site was asked for its TLS answer",
        "outcome",
        |m| &m.site_probes,
    ),
    counter(
        "accept_pauses",
        "Times that accepting stopped for lack of descriptors",
        |m| &m.accept_pauses,
    ),
    gauge("clients", "Clients past their handshake", |m| &m.clients),
    reasons(
        "clients",
        "Clients so far, by how they talk",
        "transport",
        |m| &m.clients_by_kind,
    ),
    histogram("session_seconds", "How long clients stayed", |m| {
        &m.session_time
    }),
    reasons("closed", "Sessions ended", "reason", |m| &m.closed),
    directions(
        "client_bytes",
        "Bytes from (in) and to (out) clients",
        |m| &m.client_bytes_in,
        |m| &m.client_bytes_out,
    ),
    directions(
        "client_packets",
        "Packets from (in) and to (out) clients",
        |m| &m.client_packets_in,
        |m| &m.client_packets_out,
    ),
    counter("quick_acks", "Quick acknowledgements delivered", |m| {
        &m.quick_acks
    }),
    counter(
        "quick_acks_dropped",
        "Quick acknowledgements too short for a TLS record of their own",
        |m| &m.quick_acks_dropped,
    ),
    counter(
        "server_errors_filtered",
        "Errors of Telegram that clients did not get",
        |m| &m.server_errors_filtered,
    ),
    per_dc("dc_connections", "gauge", "Connections to Telegram", |dc| {
        dc.connections.get()
    }),
    per_dc(
        "dc_sessions",
        "gauge",
        "Sessions of clients on these connections",
        |dc| dc.sessions.get(),
    ),
    per_dc(
        "dc_connections_opened_total",
        "counter",
        "Connections that came about",
        |dc| dc.opened.get(),
    ),
    per_dc(
        "dc_connections_failed_total",
        "counter",
        "Connections that did not come about",
        |dc| dc.failed.get(),
    ),
    per_dc(
        "dc_connections_ended_total",
        "counter",
        "Connections that ended",
        |dc| dc.ended.get(),
    ),
    per_route(
        "route_connects_total",
        "Tries to reach a DC by a route of --route, by what became of them",
    ),
    reasons(
        "dc_connect_failures",
        "Why connections to Telegram did not come about",
        "reason",
        |m| &m.connect_failures,
    ),
    reasons(
        "dc_connection_ends",
        "Why connections to Telegram ended",
        "reason",
        |m| &m.connection_ends,
    ),
    reasons("sessions", "Sessions so far, by route", "route", |m| {
        &m.sessions_by_route
    }),
    histogram(
        "clients_per_connection",
        "Clients on a connection when one joins",
        |m| &m.clients_per_connection,
    ),
    reasons(
        "migrations",
        "Clients whose connection to Telegram ended, or was left to slow clients",
        "outcome",
        |m| &m.migrations,
    ),
    directions(
        "dc_bytes",
        "Bytes from (in) and to (out) Telegram",
        |m| &m.dc_bytes_in,
        |m| &m.dc_bytes_out,
    ),
    directions(
        "dc_packets",
        "Packets from (in) and to (out) middle proxies",
        |m| &m.dc_packets_in,
        |m| &m.dc_packets_out,
    ),
    counter(
        "unknown_rpc",
        "Messages of middle proxies that are not known",
        |m| &m.unknown_rpc,
    ),
    gauge(
        "clock_offset_seconds",
        "Difference between this machine's clock and Telegram's",
        |m| &m.clock_offset,
    ),
    reasons(
        "directory_refreshes",
        "Refreshes of Telegram's lists",
        "outcome",
        |m| &m.refreshes,
    ),
    gauge("links", "Open links", |m| &m.links),
    gauge("link_streams", "Clients on the links", |m| &m.link_streams),
    computed(
        "link_rtt_seconds",
        "gauge",
        "Round-trip time of the last ping on a link",
        |m| {
            Some(Decimal {
                value: m.link_rtt_micros.get(),
                places: MICROS,
            })
        },
    ),
    reasons(
        "link_ends",
        "Links that ended or did not come about",
        "reason",
        |m| &m.link_ends,
    ),
    directions(
        "link_bytes",
        "Bytes from (in) and to (out) the other side of links, without TLS",
        |m| &m.link_bytes_in,
        |m| &m.link_bytes_out,
    ),
    counter(
        "link_evictions",
        "Streams ended for holding more than their share of the buffers",
        |m| &m.link_evictions,
    ),
    counter(
        "link_refusals",
        "Streams ended because their front has its share of a back's places",
        |m| &m.link_refusals,
    ),
    gauge("web_sessions", "WEB sessions of apps", |m| &m.web_sessions),
    gauge("web_streams", "Streams of WEB sessions", |m| &m.web_streams),
    counter("web_pages", "Bridge pages served", |m| &m.web_pages),
    reasons(
        "web_carriers",
        "Times that a WEB session went on a carrier",
        "carrier",
        |m| &m.web_carriers,
    ),
    reasons("web_ends", "WEB sessions ended", "reason", |m| &m.web_ends),
    reasons(
        "web_refusals",
        "Requests with an authentic secret that were refused",
        "reason",
        |m| &m.web_refusals,
    ),
    counter(
        "web_streams_refused",
        "Streams of WEB sessions that there was no place for",
        |m| &m.web_streams_refused,
    ),
    counter(
        "web_streams_stuck",
        "Streams of WEB sessions ended because their clients took nothing",
        |m| &m.web_streams_stuck,
    ),
    computed(
        "backpressure_seconds_total",
        "counter",
        "Time that connections to Telegram were not read because of slow clients",
        |m| Some(Decimal::seconds(m.backpressure.get())),
    ),
    counter(
        "backpressure_events",
        "Times that reading Telegram stopped because of slow clients",
        |m| &m.backpressure_events,
    ),
    counter(
        "isolations",
        "Connections to Telegram left to the slow clients on them",
        |m| &m.isolations,
    ),
    counter(
        "slow_cuts",
        "Sessions ended for taking nothing while others waited behind them",
        |m| &m.slow_cuts,
    ),
    gauge("buffer_bytes_used", "Bytes of --buffers in use", |m| {
        &m.buffers_used
    }),
    gauge("buffer_bytes", "Bytes of --buffers", |m| &m.buffers_total),
    gauge(
        "buffer_bytes_claimed",
        "Bytes of --buffers with large packets of clients",
        |m| &m.buffers_claimed,
    ),
    gauge(
        "buffer_holders",
        "Unfinished packets that hold buffers",
        |m| &m.buffer_holders,
    ),
    gauge(
        "buffer_waiters",
        "Unfinished packets that wait for buffers",
        |m| &m.buffer_waiters,
    ),
    counter("buffer_waits", "Readers that waited for buffers", |m| {
        &m.buffer_waits
    }),
    reasons(
        "buffer_revocations",
        "Unfinished packets given up because others waited for buffers",
        "reason",
        |m| &m.buffer_revocations,
    ),
    counter("config_reloads", "Configs taken over at SIGHUP", |m| {
        &m.config_reloads
    }),
    counter(
        "config_reload_failures",
        "Configs refused at SIGHUP; the running one stayed",
        |m| &m.config_reload_failures,
    ),
    computed(
        "log_lines_lost_total",
        "counter",
        "Lines lost because the reader of the log stood still",
        |m| Some(Decimal::whole(m.log_lines_lost.get())),
    ),
    computed(
        "uptime_seconds",
        "gauge",
        "Seconds since the process started",
        |m| Some(Decimal::seconds(m.uptime.get())),
    ),
];

/// After the build.
const PROCESS: &[Row] = &[
    computed(
        "process_cpu_seconds_total",
        "counter",
        "User and system time of the process",
        |_| Some(Decimal::seconds(process::cpu())),
    ),
    computed(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory",
        |_| process::resident_bytes().map(Decimal::whole),
    ),
    computed("process_open_fds", "gauge", "Open descriptors", |_| {
        process::open_fds().map(Decimal::whole)
    }),
    computed(
        "process_max_fds",
        "gauge",
        "Descriptors that may be open",
        |_| process::max_fds().map(Decimal::whole),
    ),
];

pub(super) fn render(metrics: &Metrics, out: &mut String) {
    let mut page = Page { out };
    let dcs = metrics.dcs.all();
    let show = |rows: &[Row], page: &mut Page<'_>| {
        for row in rows {
            row.show(metrics, &dcs, page);
        }
    };
    show(ROWS, &mut page);
    build_info(&mut page);
    show(PROCESS, &mut page);
}

fn build_info(page: &mut Page<'_>) {
    page.family("build_info", "gauge", "Always 1; the build is in labels");
    let tls = if cfg!(feature = "tls") { "yes" } else { "no" };
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("arch", std::env::consts::ARCH),
        ("tls", tls),
    ];
    page.sample("build_info", &build, &1);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::metrics::{ClientKind, CloseReason, ConnectionEnd, RejectReason, RouteResult};
    use crate::wire::dc::DcId;

    fn rendered(metrics: &Metrics) -> String {
        let mut text = String::new();
        metrics.render(&mut text);
        text
    }

    #[test]
    fn every_sample_belongs_to_a_family_named_once() {
        let text = rendered(&Metrics::default());
        let mut families = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(families.insert(name), "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let name = name.split('{').next().unwrap();
                let stem = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end));
                let known = families.contains(name) || stem.is_some_and(|s| families.contains(s));
                assert!(known, "{line}");
            }
        }
    }

    #[test]
    fn what_happened_is_shown() {
        let metrics = Metrics::default();
        metrics.client_joined(ClientKind::FakeTls, Duration::from_millis(3));
        metrics.client_joined(ClientKind::Padded, Duration::from_millis(3));
        metrics.client_left(CloseReason::IdleTimeout, Duration::from_secs(30));
        metrics.client_rejected(RejectReason::Replay);
        metrics.dc_opened(DcId(-2));
        metrics.dc_opened(DcId(-2));
        metrics.dc_ended(DcId(-2), ConnectionEnd::PingTimeout);
        for result in [
            RouteResult::Opened,
            RouteResult::Starves,
            RouteResult::Opened,
        ] {
            metrics.route_tried(DcId(-2), "direct", result);
        }
        metrics.backpressure.add(Duration::from_millis(1500));
        let text = rendered(&metrics);
        for line in [
            "clients 1",
            "clients_total{transport=\"tls\"} 1",
            "handshakes_total{outcome=\"accepted\"} 2",
            "handshakes_total{outcome=\"rejected\"} 1",
            "handshake_seconds_bucket{le=\"0.001\"} 0",
            "handshake_seconds_bucket{le=\"0.005\"} 2",
            "handshake_seconds_bucket{le=\"+Inf\"} 2",
            "session_seconds_sum 30",
            "rejected_total{reason=\"replay\"} 1",
            "closed_total{reason=\"idle_timeout\"} 1",
            "dc_connections{dc=\"-2\"} 1",
            "dc_connections_opened_total{dc=\"-2\"} 2",
            "dc_connection_ends_total{reason=\"ping_timeout\"} 1",
            "route_connects_total{route=\"direct\",dc=\"-2\",result=\"opened\"} 2",
            "route_connects_total{route=\"direct\",dc=\"-2\",result=\"starves\"} 1",
            "backpressure_seconds_total 1.5",
        ] {
            let line = format!("\nsmol_mtproxy_{line}\n");
            assert!(text.contains(&line), "{line} not in {text}");
        }
    }
}
