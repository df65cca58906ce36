use super::decimal::{Decimal, MICROS};
use super::page::Page;
use super::process::Process;
use super::{DcMetrics, Metrics};

pub(super) fn render(metrics: &Metrics, out: &mut String) {
    let mut page = Page { out };
    clients(metrics, &mut page);
    telegram(metrics, &mut page);
    link(metrics, &mut page);
    resources(metrics, &mut page);
    process(metrics, &mut page);
}

fn clients(metrics: &Metrics, page: &mut Page<'_>) {
    page.counter("accepted", "Connections accepted", metrics.accepted.get());
    page.gauge(
        "handshaking",
        "Connections whose handshake is not done",
        metrics.handshaking.get(),
    );
    page.reasons(
        "handshakes",
        "Handshakes by outcome",
        "outcome",
        &metrics.handshakes,
    );
    page.histogram(
        "handshake_seconds",
        "From accepting to the end of the handshake",
        &metrics.handshake_time,
    );
    page.reasons(
        "rejected",
        "Connections that did not become clients",
        "reason",
        &metrics.rejected,
    );
    page.reasons(
        "fronted",
        "Strangers connected to the site",
        "reason",
        &metrics.fronted,
    );
    page.gauge(
        "fronted",
        "Strangers connected to the site now",
        metrics.fronted_now.get(),
    );
    page.reasons(
        "fronting_failures",
        "Strangers not connected to the site",
        "reason",
        &metrics.fronting_failures,
    );
    page.reasons(
        "site_probes",
        "Times that a site was asked for its TLS answer",
        "outcome",
        &metrics.site_probes,
    );
    page.counter(
        "accept_pauses",
        "Times that accepting stopped for lack of descriptors",
        metrics.accept_pauses.get(),
    );
    page.gauge(
        "clients",
        "Clients past their handshake",
        metrics.clients.get(),
    );
    page.reasons(
        "clients",
        "Clients so far, by how they talk",
        "transport",
        &metrics.clients_by_kind,
    );
    page.histogram(
        "session_seconds",
        "How long clients stayed",
        &metrics.session_time,
    );
    page.reasons("closed", "Sessions ended", "reason", &metrics.closed);
    page.directions(
        "client_bytes",
        "Bytes from (in) and to (out) clients",
        metrics.client_bytes_in.get(),
        metrics.client_bytes_out.get(),
    );
    page.directions(
        "client_packets",
        "Packets from (in) and to (out) clients",
        metrics.client_packets_in.get(),
        metrics.client_packets_out.get(),
    );
    page.counter(
        "quick_acks",
        "Quick acknowledgements delivered",
        metrics.quick_acks.get(),
    );
    page.counter(
        "server_errors_filtered",
        "Errors of Telegram that clients did not get",
        metrics.server_errors_filtered.get(),
    );
}

fn telegram(metrics: &Metrics, page: &mut Page<'_>) {
    let dcs = metrics.dcs.all();
    let mut per_dc = |name, kind, help, value: fn(&DcMetrics) -> u64| {
        page.family(name, kind, help);
        for (dc, row) in &dcs {
            page.sample(name, &[("dc", dc)], &value(row));
        }
    };
    per_dc(
        "dc_connections",
        "gauge",
        "Connections to Telegram",
        |row| row.connections.get(),
    );
    per_dc(
        "dc_sessions",
        "gauge",
        "Sessions of clients on these connections",
        |row| row.sessions.get(),
    );
    per_dc(
        "dc_connections_opened_total",
        "counter",
        "Connections that came about",
        |row| row.opened.get(),
    );
    per_dc(
        "dc_connections_failed_total",
        "counter",
        "Connections that did not come about",
        |row| row.failed.get(),
    );
    per_dc(
        "dc_connections_ended_total",
        "counter",
        "Connections that ended",
        |row| row.ended.get(),
    );
    page.reasons(
        "dc_connect_failures",
        "Why connections to Telegram did not come about",
        "reason",
        &metrics.connect_failures,
    );
    page.reasons(
        "dc_connection_ends",
        "Why connections to Telegram ended",
        "reason",
        &metrics.connection_ends,
    );
    page.reasons(
        "sessions",
        "Sessions so far, by route",
        "route",
        &metrics.sessions_by_route,
    );
    page.histogram(
        "clients_per_connection",
        "Clients on a connection when one joins",
        &metrics.clients_per_connection,
    );
    page.reasons(
        "migrations",
        "Clients whose connection to Telegram ended",
        "outcome",
        &metrics.migrations,
    );
    page.directions(
        "dc_bytes",
        "Bytes from (in) and to (out) Telegram",
        metrics.dc_bytes_in.get(),
        metrics.dc_bytes_out.get(),
    );
    page.directions(
        "dc_packets",
        "Packets from (in) and to (out) middle proxies",
        metrics.dc_packets_in.get(),
        metrics.dc_packets_out.get(),
    );
    page.counter(
        "unknown_rpc",
        "Messages of middle proxies that are not known",
        metrics.unknown_rpc.get(),
    );
    page.gauge(
        "clock_offset_seconds",
        "Difference between this machine's clock and Telegram's",
        metrics.clock_offset.get(),
    );
    page.reasons(
        "directory_refreshes",
        "Refreshes of Telegram's lists",
        "outcome",
        &metrics.refreshes,
    );
}

fn link(metrics: &Metrics, page: &mut Page<'_>) {
    page.gauge("links", "Open links", metrics.links.get());
    page.gauge(
        "link_streams",
        "Clients on the links",
        metrics.link_streams.get(),
    );
    page.family(
        "link_rtt_seconds",
        "gauge",
        "Round-trip time of the last ping on a link",
    );
    let rtt = Decimal {
        value: metrics.link_rtt_micros.get(),
        places: MICROS,
    };
    page.sample("link_rtt_seconds", &[], &rtt);
    page.reasons(
        "link_ends",
        "Links that ended or did not come about",
        "reason",
        &metrics.link_ends,
    );
    page.directions(
        "link_bytes",
        "Bytes from (in) and to (out) the other side of links, without TLS",
        metrics.link_bytes_in.get(),
        metrics.link_bytes_out.get(),
    );
    page.counter(
        "link_evictions",
        "Streams ended for holding more than their share of the buffers",
        metrics.link_evictions.get(),
    );
}

fn resources(metrics: &Metrics, page: &mut Page<'_>) {
    page.family(
        "backpressure_seconds_total",
        "counter",
        "Time that connections to Telegram were not read because of slow clients",
    );
    let waited = Decimal::seconds(metrics.backpressure.get());
    page.sample("backpressure_seconds_total", &[], &waited);
    page.counter(
        "backpressure_events",
        "Times that reading Telegram stopped because of slow clients",
        metrics.backpressure_events.get(),
    );
    page.gauge(
        "buffer_bytes_used",
        "Bytes of --buffers in use",
        metrics.buffers_used.get(),
    );
    page.gauge(
        "buffer_bytes",
        "Bytes of --buffers",
        metrics.buffers_total.get(),
    );
    page.counter(
        "buffer_waits",
        "Readers that waited for buffers",
        metrics.buffer_waits.get(),
    );
    page.counter(
        "config_reloads",
        "Configs taken over at SIGHUP",
        metrics.config_reloads.get(),
    );
    page.counter(
        "config_reload_failures",
        "Configs refused at SIGHUP; the running one stayed",
        metrics.config_reload_failures.get(),
    );
}

fn process(metrics: &Metrics, page: &mut Page<'_>) {
    let process = Process::read();
    page.family(
        "uptime_seconds",
        "gauge",
        "Seconds since the process started",
    );
    let uptime = Decimal::seconds(metrics.started.elapsed());
    page.sample("uptime_seconds", &[], &uptime);
    page.family("build_info", "gauge", "Always 1; the build is in labels");
    let tls = if cfg!(feature = "tls") { "yes" } else { "no" };
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("arch", std::env::consts::ARCH),
        ("tls", tls),
    ];
    page.sample("build_info", &build, &1);
    page.family(
        "process_cpu_seconds_total",
        "counter",
        "User and system time of the process",
    );
    page.sample(
        "process_cpu_seconds_total",
        &[],
        &Decimal::seconds(process.cpu),
    );
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory",
            process.resident_bytes,
        ),
        ("process_open_fds", "Open descriptors", process.open_fds),
        (
            "process_max_fds",
            "Descriptors that may be open",
            process.max_fds,
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::metrics::{ClientKind, CloseReason, ConnectionEnd, RejectReason};
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
            "backpressure_seconds_total 1.5",
        ] {
            let line = format!("\nsmol_mtproxy_{line}\n");
            assert!(text.contains(&line), "{line} not in {text}");
        }
    }
}
