//! Every attack, with the set-ups in which it is tried.

use smol::future::BoxedLocal;
use smol::future::FutureExt;

use super::First;
use super::attack::{Hold, Spending, Surf};
use super::outcome::Outcome;
use super::setup::Layout::{self, Both, Keyed, Tls};
use super::trials::Door::{OfClients, OfWebServers};
use super::trials::{
    Crowd, Neighbour, Rush, Terms, Trouble, announcing, crowding, dripping, hurrying, knocking,
    lagging, not_reading, reading_slowly, sitting, spending, starving, surfing, uploading,
};
use crate::harness::Route::{Direct, Middle};

pub struct Row {
    pub name: &'static str,
    pub layouts: &'static [Layout],
    pub trial: fn(Terms<'static>) -> BoxedLocal<Outcome>,
}

macro_rules! matrix {
    ($($name:ident: $layouts:expr, $trial:expr;)*) => {
        pub const MATRIX: &[Row] = &[$(
            Row {
                name: stringify!($name),
                layouts: &$layouts,
                trial: |terms| {
                    let trial: fn(Terms<'static>) -> _ = $trial;
                    trial(terms).boxed_local()
                },
            },
        )*];
    };
}

matrix! {
    packets_announced: [Both, Keyed, Tls],
        |terms| announcing(terms, Hold::Nothing, "2M", Neighbour::Client, false);
    packets_announced_with_few_buffers: [Both],
        |terms| announcing(terms, Hold::Nothing, "1M", Neighbour::Client, false);
    packets_sent_by_half: [Both, Keyed, Tls],
        |terms| announcing(terms, Hold::Half, "2M", Neighbour::Client, false);
    packets_sent_a_byte_at_a_time: [Both, Keyed, Tls],
        |terms| announcing(terms, Hold::Drip, "2M", Neighbour::Client, false);
    packets_announced_again_and_again: [Both, Keyed],
        |terms| announcing(terms, Hold::Nothing, "2M", Neighbour::Client, true);
    packets_announced_with_another_secret: [Both],
        |terms| announcing(terms, Hold::Nothing, "2M", Neighbour::OtherSecret, false);
    packets_of_another_front_on_a_slow_line: [Keyed, Tls],
        |terms| lagging(terms, Trouble::SlowLine);
    packets_of_another_front_that_is_frozen: [Keyed, Tls],
        |terms| lagging(terms, Trouble::Frozen);

    answers_not_taken: [Both, Keyed, Tls],
        |terms| not_reading(terms, Neighbour::Client);
    answers_not_taken_with_another_secret: [Both],
        |terms| not_reading(terms, Neighbour::OtherSecret);
    answers_not_taken_at_another_front: [Keyed],
        |terms| not_reading(terms, Neighbour::OtherFront);
    answers_taken_slowly: [Both, Keyed, Tls], reading_slowly;
    answers_taken_in_drips: [Both, Keyed], dripping;

    uploads_to_a_dc_that_does_not_read: [Both, Keyed, Tls],
        |terms| uploading(terms, Middle, 4);
    uploads_of_many_to_a_dc_that_does_not_read: [Both, Keyed],
        |terms| uploading(terms, Middle, 100);
    direct_uploads_to_a_dc_that_does_not_read: [Both, Keyed, Tls],
        |terms| uploading(terms, Direct, 4);

    a_route_direct_starved_by_half_packets: [Both, Keyed, Tls],
        |terms| starving(terms, First::Direct);
    a_route_ws_starved_by_half_packets: [Both, Keyed],
        |terms| starving(terms, First::Ws);
    a_route_zone_starved_by_half_packets: [Both],
        |terms| starving(terms, First::Zone);
    a_route_worker_starved_by_half_packets: [Both],
        |terms| starving(terms, First::Worker);
    a_route_upstream_starved_by_half_packets: [Both],
        |terms| starving(terms, First::Upstream);

    descriptors_taken_by_another_front: [Keyed, Tls], sitting;
    places_taken_by_silent_strangers: [Both],
        |terms| crowding(terms, Crowd { sessions: 60, strangers: 45, at_site: false });
    all_places_taken_by_silent_strangers: [Both],
        |terms| crowding(terms, Crowd { sessions: 0, strangers: 100, at_site: false });
    places_taken_by_visitors_of_the_site: [Both],
        |terms| crowding(terms, Crowd { sessions: 60, strangers: 45, at_site: true });
    all_places_taken_by_visitors_of_the_site: [Both],
        |terms| crowding(terms, Crowd { sessions: 0, strangers: 100, at_site: true });
    seats_taken_at_the_link: [Keyed, Tls], knocking;

    web_bridges_guessed: [Both, Keyed], |terms| surfing(terms, Surf::Guess, OfWebServers);
    web_heads_left_in_their_middle: [Both], |terms| surfing(terms, Surf::HalfHead, OfWebServers);
    web_answers_not_taken: [Both, Keyed], |terms| surfing(terms, Surf::Deaf, OfWebServers);
    web_streams_that_say_nothing: [Both, Keyed], |terms| surfing(terms, Surf::ManyStreams, OfWebServers);
    web_by_tls_bridges_guessed: [Both], |terms| surfing(terms, Surf::Guess, OfClients);
    web_by_tls_hellos_alone: [Both, Keyed],
        |terms| surfing(terms, Surf::HalfHandshake, OfClients);
    web_by_tls_heads_left_in_their_middle: [Both],
        |terms| surfing(terms, Surf::HalfHead, OfClients);
    web_by_tls_bodies_a_byte_at_a_time: [Both],
        |terms| surfing(terms, Surf::SlowBody, OfClients);
    web_by_tls_answers_not_taken: [Both, Keyed], |terms| surfing(terms, Surf::Deaf, OfClients);
    web_by_tls_streams_that_say_nothing: [Both, Keyed],
        |terms| surfing(terms, Surf::ManyStreams, OfClients);

    a_quota_used_up_by_downloads: [Both, Keyed],
        |terms| spending(terms, Middle, Spending::Downloads);
    a_quota_used_up_by_uploads: [Both, Keyed],
        |terms| spending(terms, Middle, Spending::Uploads);
    a_quota_used_up_by_direct_downloads: [Both, Keyed],
        |terms| spending(terms, Direct, Spending::Downloads);
    a_quota_used_up_by_direct_uploads: [Both, Keyed],
        |terms| spending(terms, Direct, Spending::Uploads);

    sessions_that_come_and_go: [Both, Keyed],
        |terms| hurrying(terms, Rush::ComeAndGo);
    answers_left_in_their_middle: [Both, Keyed],
        |terms| hurrying(terms, Rush::AskAndLeave);
}
