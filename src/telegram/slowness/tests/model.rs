//! The rules at work: connections as queues of answers, clients that take
//! nothing and come again, and clients that want their small answers.

use std::collections::VecDeque;

use super::*;

const GOOD: usize = 8;

const MAX_ADVERSARIES: usize = 30;

#[derive(Default)]
struct Connection {
    answers: VecDeque<usize>,
    burden: Burden,
    is_isolated: bool,
    /// Since when the first answer is not taken.
    blocked: Option<Instant>,
}

struct Session {
    home: Option<usize>,
    slowness: Slowness,
    /// Since when it wants an answer, and whether its request is still here.
    wants: Option<(Instant, bool)>,
}

struct Model {
    now: Instant,
    connections: Vec<Connection>,
    /// The first [`GOOD`] take their answers.
    sessions: Vec<Session>,
    tolerance: Tolerance,
    lanes: Lanes,
    /// Who waited, and how long.
    waits: Vec<(usize, Duration)>,
}

impl Model {
    fn new(adversaries: usize) -> Self {
        let now = Instant::now();
        let session = |number| Session {
            home: (number < GOOD).then_some(0),
            slowness: Slowness::default(),
            wants: None,
        };
        Self {
            now,
            connections: vec![Connection::default()],
            sessions: (0..GOOD + adversaries).map(session).collect(),
            tolerance: Tolerance::default(),
            lanes: Lanes::default(),
            waits: Vec::new(),
        }
    }

    fn load(&self, connection: usize) -> usize {
        let sessions = self.sessions.iter();
        sessions.filter(|one| one.home == Some(connection)).count()
    }

    /// One for new sessions; it is opened if there is none.
    fn open(&mut self) -> usize {
        let numbers = 0..self.connections.len();
        let open = numbers.filter(|one| !self.connections[*one].is_isolated);
        let best =
            open.min_by_key(|one| (self.connections[*one].blocked.is_some(), self.load(*one)));
        best.unwrap_or_else(|| {
            self.connections.push(Connection::default());
            self.connections.len() - 1
        })
    }

    fn arrive(&mut self, adversary: usize, answers: usize) {
        let number = GOOD + adversary;
        if self.sessions[number].home.is_none() {
            let home = self.open();
            self.sessions[number].home = Some(home);
            self.sessions[number].slowness = Slowness::default();
            let queue = &mut self.connections[home].answers;
            queue.extend(std::iter::repeat_n(number, answers));
        }
    }

    fn want(&mut self, number: usize) {
        self.sessions[number].wants.get_or_insert((self.now, true));
    }

    fn tick(&mut self) {
        self.now += TICK;
        for number in 0..GOOD {
            self.serve(number);
        }
        for number in 0..self.connections.len() {
            self.deliver(number);
            if self.connections[number].blocked.is_some() {
                self.judge(number);
            }
        }
    }

    /// Lets a good session send, or move where its request is not kept back.
    fn serve(&mut self, number: usize) {
        let home = self.sessions[number].home.unwrap();
        let connection = &self.connections[home];
        let (is_isolated, is_blocked) = (connection.is_isolated, connection.blocked.is_some());
        let is_quiet = self.sessions[number].wants.is_none_or(|wants| wants.1);
        if is_isolated && is_quiet {
            self.sessions[number].home = Some(self.open());
        } else if !is_isolated
            && !is_blocked
            && let Some((_, is_here @ true)) = &mut self.sessions[number].wants
        {
            *is_here = false;
            self.connections[home].answers.push_back(number);
        }
    }

    fn deliver(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        while let Some(first) = connection.answers.front() {
            let session = &mut self.sessions[*first];
            if *first >= GOOD && session.home == Some(number) {
                connection.blocked.get_or_insert(self.now);
                break;
            }
            if *first < GOOD
                && let Some((since, _)) = session.wants.take()
            {
                self.waits.push((*first, self.now - since));
            }
            connection.answers.pop_front();
            connection.blocked = None;
        }
        let is_blocked = connection.blocked.is_some();
        connection.burden.note(self.now, is_blocked);
        let is_slow = |one: &Session| one.home == Some(number) && one.slowness.is_slow(self.now);
        connection.is_isolated &= self.sessions.iter().any(is_slow);
    }

    /// As the pool does.
    fn judge(&mut self, number: usize) {
        let (now, others) = (self.now, self.connections.len() - 1);
        let blocks = |one: &Connection| one.is_isolated || one.blocked.is_some();
        let has_other = self.connections.iter().filter(|one| blocks(one)).count() <= others;
        let connection = &mut self.connections[number];
        let (Some(blocker), Some(since)) = (connection.answers.front(), connection.blocked) else {
            return;
        };
        let session = &mut self.sessions[*blocker];
        session.slowness.blocks(now, since, Duration::ZERO);
        let mut no_lane = false;
        if !connection.is_isolated && connection.burden.weight(now) >= ISOLATE_AFTER {
            no_lane = !has_other && !self.lanes.may_open(now);
            connection.is_isolated = !no_lane;
        }
        if connection.is_isolated {
            session.slowness.isolate();
        }
        let others_wait = connection.answers.iter().any(|one| one != blocker);
        let kept_back = |one: &Session| one.home == Some(number) && one.wants.is_some();
        let judged = Blocker {
            lull: now - since,
            lag: Duration::ZERO,
            reads: false,
            no_lane,
        };
        if (others_wait || self.sessions.iter().any(kept_back))
            && self.tolerance.is_out(now, &judged)
        {
            self.sessions[*blocker].home = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the adversaries do, the good wait for long once, and from then
    /// on only for moments.
    #[test]
    fn good_clients_wait_once(
        adversaries in 1..=MAX_ADVERSARIES,
        together in any::<bool>(),
        steps in vec((0usize..31, 1usize..5, 0usize..GOOD, 0u8..10), 1000),
    ) {
        let mut model = Model::new(adversaries);
        for (number, (adversary, answers, good, chance)) in steps.into_iter().enumerate() {
            if together && number == 10 {
                (0..adversaries).for_each(|one| model.arrive(one, answers));
            } else if chance < 2 {
                model.arrive(adversary % adversaries, answers);
            }
            model.want(good);
            model.want(number % GOOD);
            model.tick();
        }
        // All of them in a row, each cut a tick late.
        let moments = (MOMENT + TICK) * MAX_ADVERSARIES as u32;
        for good in 0..GOOD {
            let waits = model.waits.iter().filter(|wait| wait.0 == good);
            let long: Vec<_> = waits.filter(|wait| wait.1 > moments).collect();
            prop_assert!(long.len() <= 1, "{long:?}");
        }
        let longest = model.waits.iter().map(|wait| wait.1).max();
        prop_assert!(longest <= Some(6 * SECOND), "{longest:?}");
        // Two ask in each of the 1000 steps, some of them while they wait.
        prop_assert!(model.waits.len() > 800, "{}", model.waits.len());
        let isolated = model.connections.len() as u32;
        prop_assert!(isolated <= LANE_BURST + 2 + 20 / 2, "{isolated} connections");
    }
}
