use super::values::Role;

/// For what nobody outside has a share in: the standard streams, epoll, signals,
/// files, lookups, Telegram's lists, questions to sites and DCs, the metrics page
/// and ctl.
const OWN: usize = 64;

/// DCs 1 to 5 and the one of the CDN, each with its media servers.
const DCS: usize = 12;

/// Connections to each of these that are there whatever the sessions are: one,
/// and its successor.
const PER_DC: usize = 2;

/// Connections that may prove themselves while all other places are sessions',
/// as a part of `--max-clients`, and in any case.
const BESIDE: usize = 8;
const MIN_BESIDE: usize = 64;
const MAX_BESIDE: usize = 1024;

/// Strangers at a site at a time, as a part of `--max-clients`, and in any case.
const STRANGERS: usize = 4;
const MIN_STRANGERS: usize = 16;

/// Connections at the doors of the WEB proxy, as a part of `--max-clients`, and in any
/// case; and how many for each one at its cover site.
const WEB: usize = 2;
const MIN_WEB: usize = 64;
const MAX_WEB: usize = 4096;
const WEB_PER_GUEST: usize = 2;

/// Half-open links of a back. With TLS each may take some 20 KiB.
const MIN_LINK_SEATS: usize = 64;
const MAX_LINK_SEATS: usize = 1024;
const BUFFERS_PER_LINK_SEAT: usize = 8192;

/// How many descriptors there are for whom. All of them together are no more
/// than the process may have, so that none of these can take what another needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Sessions of clients, each with its own connection to a DC if the route
    /// may be direct.
    pub(crate) clients: usize,
    /// Connections that have proven nothing, when all else is taken by sessions.
    pub(crate) beside: usize,
    /// Strangers who are connected to a site; they hold a place too.
    pub(crate) strangers: usize,
    /// Connections at the doors of the WEB proxy, carriers too.
    pub(crate) web: usize,
    /// Of them those for which the cover site is connected to.
    pub(crate) web_guests: usize,
    /// Pipes, of two each.
    pub(crate) pipes: usize,
    /// Half-open links, on a back.
    pub(crate) link_seats: usize,
    /// Links, on a back.
    pub(crate) links: usize,
    /// Direct connections to DCs of all fronts together, on a back.
    pub(crate) lines: usize,
}

impl Descriptors {
    /// Connections from outside that may be there at a time.
    pub(crate) fn places(&self) -> usize {
        self.clients + self.beside
    }
}

/// What memory has room for, whatever the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maxima {
    /// Pipes for splice(2): two descriptors and up to 256 KiB of kernel memory
    /// each while a slow client's bytes wait in them.
    pub(crate) pipes: usize,
    /// Links of a back.
    pub(crate) links: usize,
}

/// What descriptors are needed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    pub(crate) role: Role,
    pub(crate) max_clients: usize,
    /// Sessions may have a connection to a DC of their own.
    pub(crate) direct: bool,
    /// Strangers are connected to a site.
    pub(crate) site: bool,
    /// There is a WEB proxy.
    pub(crate) web: bool,
    pub(crate) listeners: usize,
    /// Links of a front.
    pub(crate) links: usize,
    pub(crate) dc_connections: usize,
    /// Connections that are kept ready for each DC.
    pub(crate) spare: usize,
    pub(crate) clients_per_connection: usize,
    pub(crate) buffers: usize,
    pub(crate) maxima: Maxima,
}

/// Shares out what a process may have; `None` is no limit. No share is empty,
/// however low the limit is.
pub(super) fn share_out(limit: Option<u64>, wants: &Wants) -> Descriptors {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX);
    // Of a very low limit everybody gets a part.
    let own = OWN.min(limit / 3) + wants.listeners;
    let telegram = match wants.role {
        Role::Front => 0,
        Role::Both | Role::Back => DCS * (wants.dc_connections.max(PER_DC) + wants.spare),
    };
    let telegram = telegram.min(limit / 8);
    let left = limit.saturating_sub(own + telegram);
    match wants.role {
        Role::Back => of_a_back(left, wants),
        Role::Both | Role::Front => of_clients(left, limit, wants),
    }
}

fn of_a_back(left: usize, wants: &Wants) -> Descriptors {
    let seats = wants.buffers / BUFFERS_PER_LINK_SEAT;
    let seats = seats.clamp(MIN_LINK_SEATS, MAX_LINK_SEATS);
    let link_seats = seats.min(left / 8).max(1);
    let links = wants.maxima.links.min(left / 8).max(1);
    let shared = left / wants.clients_per_connection.max(1);
    Descriptors {
        clients: 0,
        beside: 0,
        strangers: 0,
        web: 0,
        web_guests: 0,
        pipes: 0,
        link_seats,
        links,
        lines: left.saturating_sub(link_seats + links + shared).max(1),
    }
}

fn of_clients(left: usize, limit: usize, wants: &Wants) -> Descriptors {
    let pipes = wants.maxima.pipes.min(limit / 32).max(1);
    let left = left.saturating_sub(2 * pipes + wants.links);
    let with = |clients: usize| {
        let beside = (clients / BESIDE).clamp(MIN_BESIDE, MAX_BESIDE);
        let strangers = (clients / STRANGERS).max(MIN_STRANGERS);
        let web = match wants.web {
            true => (clients / WEB).clamp(MIN_WEB, MAX_WEB).min(left / 8).max(2),
            false => 0,
        };
        Descriptors {
            clients,
            beside: beside.min(left / 4).max(1),
            strangers: strangers.min(left / 4).max(1),
            web,
            web_guests: web / WEB_PER_GUEST,
            pipes,
            link_seats: 0,
            links: 0,
            lines: 0,
        }
    };
    let fits = |clients: usize| {
        let Descriptors {
            beside,
            strangers,
            web,
            web_guests,
            ..
        } = with(clients);
        let (of_one, shared) = match (wants.role, wants.direct) {
            (Role::Both, true) => (2, 0),
            (Role::Both, false) => (1, clients / wants.clients_per_connection.max(1)),
            _ => (1, 0),
        };
        let sites = if wants.site { strangers } else { 0 };
        clients.saturating_mul(of_one) + beside + sites + web + web_guests + shared <= left
    };
    let (mut fitting, mut most) = (1, wants.max_clients.max(1));
    while fitting < most {
        let middle = most - (most - fitting) / 2;
        match fits(middle) {
            true => fitting = middle,
            false => most = middle - 1,
        }
    }
    with(fitting)
}

/// The least limit with which nothing has to be lowered.
pub(super) fn enough(wants: &Wants) -> u64 {
    let (mut low, mut high) = (1u64, 1 << 32);
    while low < high {
        let middle = low + (high - low) / 2;
        match share_out(Some(middle), wants).clients >= wants.max_clients {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wants() -> impl Strategy<Value = Wants> {
        let role = prop_oneof![Just(Role::Both), Just(Role::Front), Just(Role::Back)];
        let counts = (1usize..200_000, 1usize..9, 0usize..17, 0usize..65);
        let maxima = (2usize..33, 16usize..257).prop_map(|(pipes, links)| Maxima { pipes, links });
        let sizes = (1usize..1000, 20u32..31, maxima);
        (role, counts, any::<[bool; 3]>(), sizes).prop_map(
            |(
                role,
                (max_clients, listeners, links, dc_connections),
                [direct, site, web],
                (shared, size, maxima),
            )| {
                Wants {
                    role,
                    max_clients,
                    direct,
                    site,
                    web,
                    listeners,
                    links,
                    dc_connections,
                    spare: dc_connections % 5,
                    clients_per_connection: shared,
                    buffers: 1 << size,
                    maxima,
                }
            },
        )
    }

    proptest! {
        /// Everybody at their limits at once, and what the process needs itself.
        #[test]
        fn all_shares_together_are_there(wants in wants(), limit in 200usize..1_100_000) {
            let shares = share_out(Some(limit as u64), &wants);
            let sessions = match (wants.role, wants.direct) {
                (Role::Both, true) => 2 * shares.clients,
                (Role::Both, false) => shares.clients + shares.clients / wants.clients_per_connection,
                _ => shares.clients,
            };
            let sites = if wants.site { shares.strangers } else { 0 };
            let web = shares.web + shares.web_guests;
            let of_clients = sessions + shares.beside + sites + web + 2 * shares.pipes + wants.links;
            let of_links = shares.link_seats + shares.links + shares.lines;
            let taken = match wants.role {
                Role::Back => of_links,
                Role::Both | Role::Front => of_clients,
            };
            prop_assert!(taken + OWN + wants.listeners <= limit, "{taken} of {limit}: {shares:?}");
            prop_assert!(shares.clients <= wants.max_clients);
        }

        #[test]
        fn a_higher_limit_takes_nothing_away(wants in wants(), limit in 1u64..100_000, more in 1u64..50_000) {
            let (less, more) = (share_out(Some(limit), &wants), share_out(Some(limit + more), &wants));
            prop_assert!(less.clients <= more.clients && less.lines <= more.lines + more.links + more.link_seats);
        }

        #[test]
        fn what_is_enough_is_enough(mut wants in wants()) {
            if wants.role == Role::Back {
                wants.role = Role::Front;
            }
            let least = enough(&wants);
            prop_assert_eq!(share_out(Some(least), &wants).clients, wants.max_clients);
            prop_assert!(share_out(Some(least - 1), &wants).clients < wants.max_clients || least == 1);
            prop_assert_eq!(share_out(None, &wants).clients, wants.max_clients);
        }
    }
}
