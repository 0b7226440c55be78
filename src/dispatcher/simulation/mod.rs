//! The core under random events, with backends that only remember what they were handed.
//!
//! Each seed is one run; a failure prints it, and `SIMULATION_SEED=<seed> cargo test simulation`
//! repeats that run alone. Together the runs take a million steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::test_runner::{RngAlgorithm, TestRng};
use rand::RngExt;
use rayon::prelude::*;

use super::core::Core;
use super::demands::{Demands, Rates};
use super::edge::Edge;
use super::graph::Path;
use super::key::Key;
use super::message::{Effect, Event, Need, Nested, Submission, Verdict};
use super::node::State;
use super::ready::Limits;
use super::rules::{Attempts, Rules};
use crate::clock::Moment;
use crate::condition::Plan;
use crate::error::{CancelReason, PanicInfo};
use crate::job::{Backoff, Ended, KindId, Status, Stop};
use model::{Cond, Known};

mod model;

const STEPS: u64 = 1_000_000;
const STEPS_PER_SEED: u64 = 500;

/// What the outside world knows of a job.
#[derive(Clone, Debug, Default)]
struct Seen {
    upstream: Vec<Key>,
    condition: Option<Cond>,
    /// The jobs that must end, whatever else its condition says.
    must: Vec<Key>,
    submitted: bool,
    kind: Option<KindId>,
    submitted_at: u64,
    /// Its arguments were there and its condition held at some moment.
    could_start: bool,
    /// Custom conditions that were asked and have not answered.
    asked: BTreeSet<u32>,
    /// Those whose last answer was yes.
    yes: BTreeSet<u32>,
    starts: u32,
    /// How often it may be tried again.
    retries: u32,
    demands: Demands,
    priority: i32,
    /// It was taken back, and had been handed out as that one of all.
    taken_back: Option<u64>,
    timeout: Option<u64>,
    attempt_timeout: Option<u64>,
    /// When its first attempt began.
    began: Option<u64>,
    /// How jobs ended, when it first heard of it.
    heard: BTreeMap<Key, Status>,
    verdict: Option<Verdict>,
}

impl Seen {
    fn ended(&self) -> Option<Status> {
        Some(match self.verdict.as_ref()? {
            Verdict::Done => Status::Done,
            Verdict::Failed | Verdict::TimedOut(_) | Verdict::ConditionPanicked(_) => {
                Status::Failed
            }
            Verdict::Cancelled(_) => Status::Cancelled,
        })
    }
}

struct World {
    rng: TestRng,
    core: Core<Key>,
    limits: Limits,
    moment: Moment,
    jobs: BTreeMap<Key, Seen>,
    /// Handed out and not ended, by what was last heard of it.
    out: BTreeMap<Key, Running>,
    next_key: Key,
    closed: bool,
    /// The event at hand may start a job over the limit.
    over: bool,
    /// Where the last search for something to run ended, and its goal.
    path: Path,
    path_of: Option<Key>,
    /// The model's own.
    rates: Rates,
    paused: [bool; KindId::COUNT],
    /// Taken back from backends that had not begun them; to be told.
    recalled: Vec<(Key, u64)>,
    /// How many jobs were handed out, or run by a waiting thread.
    places: u64,
    /// The job that is being submitted, if it cannot be refused and would wait for itself.
    closes_cycle: Option<Key>,
    /// How often a job ended.
    ends: u64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    kind: KindId,
    /// When it became ready, if it waits with its backend.
    ready: Option<u64>,
    blocked_on: Option<Key>,
    /// It waits for its readers.
    lent: bool,
    /// Of all that were ever handed out, which it was.
    place: u64,
    aborted: Option<Stop>,
    /// It has told that it began, and when.
    began: Option<u64>,
}

impl Running {
    fn has_permit(&self) -> bool {
        !self.lent && self.blocked_on.is_none()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let limited = rng.random_bool(0.5);
        let mut rates = Rates::default();
        let slow = rates.add(rng.random_range(1..4), rng.random_range(1..60));
        if rng.random_bool(0.3) {
            rates.set_kind(KindId::Blocking, slow);
        }
        rates.add(rng.random_range(1..4), rng.random_range(1..60));
        let limits = Limits {
            max_jobs: limited.then(|| rng.random_range(1..6)),
            per_kind: std::array::from_fn(|_| rng.random_range(1..4)),
            window: std::array::from_fn(|_| rng.random_range(0..4)),
            ageing: rng.random_range(0..50),
            resources: vec![rng.random_range(1..4), 1 << 40],
            rates,
        };
        let keep = if rng.random_bool(0.5) { usize::MAX } else { rng.random_range(0..20) };
        let moment = Moment { now: 1, offset: rng.random_range(0..1 << 60) };
        Self {
            rng,
            core: Core::new(limits.clone(), keep, moment),
            rates: limits.rates.clone(),
            paused: [false; KindId::COUNT],
            recalled: Vec::new(),
            places: 0,
            limits,
            moment,
            jobs: BTreeMap::new(),
            out: BTreeMap::new(),
            next_key: 0,
            closed: false,
            over: false,
            path: Path::default(),
            path_of: None,
            closes_cycle: None,
            ends: 0,
        }
    }

    fn handle(&mut self, event: Event<Key>) -> Vec<Effect<Key>> {
        self.moment.now += 1;
        self.handle_now(event)
    }

    fn handle_now(&mut self, event: Event<Key>) -> Vec<Effect<Key>> {
        let mut effects = Vec::new();
        self.core.handle(event, self.moment.now, &mut effects);
        for effect in &effects {
            self.observe(effect);
        }
        self.core.sanity_check();
        self.check_waiting();
        while let Some(key) = self.core.forget_oldest() {
            assert!(self.jobs[&key].verdict.is_some(), "{key}: forgotten before its end");
            self.core.sanity_check();
        }
        effects
    }

    fn observe(&mut self, effect: &Effect<Key>) {
        match *effect {
            Effect::Refuse(..) => {}
            Effect::Start { payload: key, kind, ready } => self.begin(key, kind, Some(ready)),
            Effect::Inline(key) => {
                self.begin(key, self.jobs[&key].kind.expect("submitted"), None);
            }
            Effect::Abort(key, _, stop) => {
                let now = self.moment.now;
                let job = &self.jobs[&key];
                let running = self.out.get_mut(&key).expect("only a job that is out is aborted");
                let twice = matches!(running.aborted, Some(Stop::Cancelled));
                assert!(!twice && running.aborted != Some(stop), "{key}: aborted twice");
                running.aborted = Some(stop);
                let late = |began: Option<u64>, limit: Option<u64>| {
                    began.is_some_and(|began| limit.is_some_and(|limit| began + limit <= now))
                };
                match stop {
                    Stop::No => panic!("{key}: stopped for no reason"),
                    Stop::Cancelled => {}
                    Stop::TimedOut => assert!(late(job.began, job.timeout), "{key}: in time"),
                    Stop::AttemptTimedOut => {
                        assert!(late(running.began, job.attempt_timeout), "{key}: in time");
                    }
                }
            }
            Effect::Again { payload: key, anew } => {
                let job = self.jobs.get_mut(&key).expect("only known jobs run again");
                assert!(!self.out.contains_key(&key), "{key}: again while it is out");
                assert_eq!(job.verdict.is_some(), anew, "{key}: ended or not");
                if anew {
                    job.upstream.clear();
                    job.must.clear();
                    job.condition = None;
                    job.starts = 0;
                    job.began = None;
                    job.could_start = true;
                    job.verdict = None;
                }
            }
            Effect::LetGo { .. } => {}
            Effect::Grant { payload: key, ref granted } => {
                let wanted = granted.iter().map(|&(id, units, _)| (id, units));
                assert!(wanted.eq(self.jobs[&key].demands.resources.iter().copied()), "{key}");
            }
            Effect::TakeBack(kind) => {
                let counts = |r: &&Running| r.kind == kind && r.has_permit();
                let of_kind = self.out.values().filter(counts).count();
                let full = of_kind > self.limits.per_kind[kind as usize];
                assert!(self.paused[kind as usize] || full, "taken back for no reason");
                let mut waiting: Vec<_> = self.out.iter().filter(|(_, r)| counts(r)).collect();
                waiting.sort_by_key(|(_, running)| running.place);
                for (&key, running) in waiting {
                    let ready = running.ready.filter(|_| running.began.is_none());
                    if let Some(ready) = ready
                        && self.rng.random_bool(0.5)
                    {
                        self.recalled.push((key, ready));
                    }
                }
            }
            Effect::Ask { key, ref question } => {
                let job = self.jobs.get_mut(&key).expect("only known jobs have conditions");
                assert_eq!(job.verdict, None, "{key}: asked after its end");
                assert!(job.asked.insert(question.number), "{key}: asked twice");
            }
            Effect::Publish { key, ref verdict } => {
                assert!(!self.out.contains_key(&key), "{key}: published while it is out");
                let job = self.jobs.get_mut(&key).expect("only known jobs end");
                assert!(job.submitted, "{key}: ended before it was submitted");
                assert_eq!(job.verdict, None, "{key}: two terminal states");
                job.verdict = Some(verdict.clone());
                job.taken_back = None;
                self.ends += 1;
                if let Some(ended) = job.ended() {
                    for other in self.jobs.values_mut() {
                        if other.submitted && other.verdict.is_none() {
                            other.heard.entry(key).or_insert(ended);
                        }
                    }
                }
                if let Verdict::Cancelled(CancelReason::Unsatisfiable(why)) = verdict
                    && self.closes_cycle != Some(key)
                {
                    self.check_unsatisfiable(key, why.jobs());
                }
                // Who blocked on it goes on.
                for running in self.out.values_mut() {
                    running.blocked_on = running.blocked_on.filter(|&on| on != key);
                }
            }
        }
    }

    fn begin(&mut self, key: Key, kind: KindId, ready: Option<u64>) {
        let could = self.jobs[&key].could_start || self.holds(key, true);
        assert!(could, "{key}: started, though its condition never held");
        let job = self.jobs.get_mut(&key).expect("only known jobs start");
        assert_eq!(job.verdict, None, "{key}: started after its end");
        assert!(job.starts <= job.retries, "{key}: started too often");
        job.starts += 1;
        job.could_start = true;
        assert!(!self.paused[kind as usize], "{key}: started, though its kind is paused");
        if ready.is_some() {
            self.check_order(key, kind);
        }
        self.jobs.get_mut(&key).expect("only known jobs start").taken_back = None;
        let own = self.jobs[&key].demands.clone();
        let demands = self.rates.demands(kind, Some(&own));
        assert_eq!(
            self.rates.opens(&demands, self.moment.now),
            None,
            "{key}: faster than its rate"
        );
        self.rates.take(&demands, self.moment.now);
        if !self.over {
            let counts = |running: &&Running| running.has_permit();
            let of_kind = self.out.values().filter(counts).filter(|r| r.kind == kind).count();
            assert!(of_kind < self.limits.capacity(kind), "{key}: over the limit of its kind");
            // What demands something goes only where it can begin.
            let room = demands.is_empty() || of_kind < self.limits.per_kind[kind as usize];
            assert!(room, "{key}: handed out with what it demands, to wait");
            let all = self.out.values().filter(counts).count();
            assert!(self.limits.max_jobs.is_none_or(|max| all < max), "{key}: over max_jobs");
        }
        self.places += 1;
        let place = self.places;
        let (blocked_on, lent, aborted, began) = (None, false, None, None);
        let running = Running { kind, ready, blocked_on, lent, place, aborted, began };
        assert!(self.out.insert(key, running).is_none(), "{key}: out twice");
    }

    /// A job that wants nothing but a permit goes out: what was handed out before it, and taken back,
    /// is not still there.
    fn check_order(&self, key: Key, kind: KindId) {
        let simple = |job: &Seen| {
            let demands = self.rates.demands(kind, Some(&job.demands));
            job.kind == Some(kind) && job.priority == 0 && demands.is_empty()
        };
        let job = &self.jobs[&key];
        let before = |place: u64| job.taken_back.is_none_or(|own| place < own);
        let passed = self.jobs.iter().find(|(key, other)| {
            other.taken_back.is_some_and(before)
                && simple(other)
                && self.core.nodes.get(**key).is_some_and(|node| node.state == State::Ready)
        });
        assert!(!simple(job) || passed.is_none(), "{key}: goes before {passed:?}");
    }

    /// Calls `f` with what the model knows for the condition of a job.
    fn with_known<R>(&self, key: Key, every: bool, f: impl FnOnce(&Known<'_>) -> R) -> R {
        let job = &self.jobs[&key];
        f(&Known {
            moment: self.moment,
            submitted: job.submitted_at,
            ended: &|up| job.heard.get(&up).copied(),
            answer: &|number| job.yes.contains(&number),
            every,
        })
    }

    /// Whether the job's arguments are there and its condition holds, by the model's own look.
    fn holds(&self, key: Key, every: bool) -> bool {
        let job = &self.jobs[&key];
        let arguments = job.upstream.iter().all(|up| job.heard.get(up) == Some(&Status::Done));
        let holds = job.condition.as_ref().is_none_or(|condition| {
            self.with_known(key, every, |known| condition.value(known, &mut 0).holds)
        });
        arguments && holds
    }

    /// No job waits that could run, or that can never run.
    fn check_waiting(&mut self) {
        let open: Vec<Key> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.submitted && job.verdict.is_none() && job.starts == 0)
            .map(|(&key, _)| key)
            .collect();
        for key in open {
            if let Some(State::Waiting) = self.core.nodes.get(key).map(|node| node.state) {
                assert!(!self.holds(key, false), "{key}: could run, and waits");
                let condition = &self.jobs[&key].condition;
                let never = condition.as_ref().is_some_and(|condition| {
                    self.with_known(key, false, |known| condition.value(known, &mut 0).never)
                });
                assert!(!never, "{key}: can never run, and waits: {condition:?}");
            } else {
                let job = self.jobs.get_mut(&key).expect("it was found there");
                job.could_start = true;
                let kind = job.kind.expect("it was submitted");
                let simple = self.rates.demands(kind, Some(&job.demands)).is_empty();
                let ready = self.core.nodes.get(key).is_some_and(|n| n.state == State::Ready);
                let idle = ready && simple && self.core.ready.has_permit(kind);
                assert!(!idle, "{key}: could go, and does not");
            }
        }
    }

    /// A job was cancelled since its condition can never hold any more.
    fn check_unsatisfiable(&self, key: Key, blamed: &[crate::id::JobId]) {
        let condition = self.jobs[&key].condition.as_ref().expect("it has a condition");
        let never = self.with_known(key, false, |known| condition.value(known, &mut 0).never);
        assert!(never || condition.timed() > 1, "{key}: cancelled, yet it may hold: {condition:?}");
        for id in blamed {
            let up = id.count_here().expect("of this process");
            assert!(
                self.jobs[&key].heard.contains_key(&up),
                "{key}: blames {up}, which has not ended"
            );
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.rng.random_range(0..from.len())]) }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..32 => self.submit(),
            32..64 => self.end_a_run(),
            64..67 => self.begin_a_run(),
            67..70 => self.pass_time(),
            70..75 => self.answer_one(),
            75..83 => self.cancel_one(),
            83..88 => self.block_one(),
            88..93 => self.unblock_one(),
            93..97 => self.run_inline(),
            97 => {
                self.pause_one();
                self.rerun_one();
                self.begin_a_run();
                if self.rng.random_bool(0.3) {
                    drop(self.core.remove_finished());
                }
            }
            98 => self.remove_one(),
            99 if self.rng.random_bool(0.5) => self.start_one(),
            _ => {
                if self.rng.random_bool(0.02) {
                    self.handle(Event::CancelAll { reason: CancelReason::Requested });
                }
            }
        }
    }

    /// Submits a new job, or one that others have named before.
    fn submit(&mut self) {
        // What is due ends some jobs, which then close no cycle.
        self.handle(Event::Tick);
        let named: Vec<Key> =
            self.jobs.iter().filter(|(_, job)| !job.submitted).map(|(&key, _)| key).collect();
        let key = match self.pick(&named) {
            Some(key) if self.rng.random_bool(0.5) => key,
            _ => {
                self.next_key += self.rng.random_range(1..3);
                self.next_key
            }
        };
        let known: Vec<Key> = self.jobs.keys().copied().collect();
        let mut upstream = BTreeSet::new();
        for _ in 0..self.rng.random_range(0..4) {
            // Mostly recent ones, so that many are unfinished.
            let recent = &known[known.len().saturating_sub(12)..];
            upstream.extend(self.pick(recent));
            if self.rng.random_bool(0.1) {
                self.next_key += 1;
                let unsubmitted = self.next_key;
                self.jobs.entry(unsubmitted).or_default();
                upstream.insert(unsubmitted);
            }
        }
        let upstream: Vec<Key> = upstream.into_iter().collect();
        let condition = self.rng.random_bool(0.4).then(|| {
            let recent = &known[known.len().saturating_sub(8)..];
            Cond::random(&mut self.rng, recent, self.moment, 0)
        });
        let plan = match &condition {
            Some(condition) => condition.condition().compile(&model::zone).expect("it makes sense"),
            None => Plan::default(),
        };
        let must: Vec<Key> = plan.edges.iter().map(|(named, _)| named.key).collect();
        let hint = |need: Need| {
            let ended = self.jobs.get(&need.edge.key()).and_then(Seen::ended);
            Need { ended, ..need }
        };
        let argument = |&key: &Key| Need { edge: Edge::argument(key), ended: None, watched: None };
        let edges =
            plan.edges.into_iter().map(|(named, wanted)| Need::condition(named, Some(wanted)));
        let needs = upstream.iter().map(argument).chain(edges).map(hint).collect();
        let nested = plan.tree.map(|tree| {
            let possible = tree.can_ever_hold(self.moment, 50);
            let jobs = plan
                .named
                .into_iter()
                .map(|named| Need::condition(named, None))
                .map(hint)
                .collect();
            Box::new(Nested { tree, jobs, possible })
        });
        let all: Vec<Key> = upstream.iter().copied().chain(must.iter().copied()).collect();
        let would_cycle = self.waits_for(&all, key);
        let before = self.jobs.get(&key).cloned().unwrap_or_default();
        let submitted_at = self.moment.now;
        let heard = self.jobs.iter().filter_map(|(&key, job)| Some((key, job.ended()?))).collect();
        let rules = self.rules();
        let own = rules.clone().unwrap_or_default();
        let attempts = rules.map(|rules| Box::new(Attempts::new(rules)));
        let kind = KindId::ALL[self.rng.random_range(0..KindId::COUNT)];
        let seen = Seen {
            kind: Some(kind),
            upstream,
            condition,
            must,
            submitted: true,
            submitted_at,
            heard,
            retries: own.retries,
            timeout: own.timeout,
            attempt_timeout: own.attempt_timeout,
            demands: own.demands,
            priority: own.priority,
            ..before.clone()
        };
        self.jobs.insert(key, seen);
        let accepted = self.rng.random_bool(0.3);
        let submission = Submission { key, kind, needs, nested, attempts, accepted, payload: key };
        self.closes_cycle = (accepted && would_cycle).then_some(key);
        let effects = self.handle_now(Event::Submit(submission));
        let refused = effects.iter().any(|effect| matches!(effect, Effect::Refuse(..)));
        assert_eq!(
            refused,
            !accepted && (would_cycle || self.closed),
            "{key}: refused or not; it needs {:?}",
            self.jobs[&key].upstream
        );
        if accepted && (would_cycle || self.closed) {
            let verdict = &self.jobs[&key].verdict;
            assert!(matches!(verdict, Some(Verdict::Cancelled(_))), "{key}: not cancelled");
        }
        if refused {
            self.jobs.insert(key, before);
        }
    }

    /// Whether one of these jobs is `goal`, or waits for it, by the model's own walk.
    fn waits_for(&self, from: &[Key], goal: Key) -> bool {
        let mut open = from.to_vec();
        let mut seen = BTreeSet::new();
        while let Some(key) = open.pop() {
            if key == goal {
                return true;
            }
            let unfinished = self.jobs.get(&key).filter(|job| job.verdict.is_none());
            if let Some(job) = unfinished.filter(|_| seen.insert(key)) {
                let waits = job.upstream.iter().chain(&job.must);
                open.extend(waits.filter(|up| job.starts == 0 && !job.heard.contains_key(up)));
            }
        }
        false
    }

    /// What a job says of its attempts.
    fn rules(&mut self) -> Option<Rules> {
        let rng = &mut self.rng;
        let rules = Rules {
            retries: rng.random_range(0..3),
            backoff: match rng.random_range(0..3) {
                0 => Backoff::default(),
                1 => Backoff::fixed(Duration::from_nanos(rng.random_range(0..50))),
                _ => Backoff::exponential(Duration::from_nanos(rng.random_range(0..20)))
                    .max(Duration::from_nanos(60))
                    .full_jitter(),
            },
            timeout: rng.random_bool(0.3).then(|| rng.random_range(0..300)),
            attempt_timeout: rng.random_bool(0.3).then(|| rng.random_range(0..100)),
            priority: rng.random_range(-1..2),
            demands: Demands {
                resources: match rng.random_range(0..4) {
                    0 => vec![(0, 1)],
                    1 => vec![(0, self.limits.resources[0]), (1, 1 << 39)],
                    _ => Vec::new(),
                },
                rates: if rng.random_bool(0.2) { vec![1] } else { Vec::new() },
            },
        };
        (rng.random_bool(0.3) && rules != Rules::default()).then_some(rules)
    }

    /// A job that is out says that it has begun.
    fn begin_a_run(&mut self) {
        self.tell_recalled();
        let silent: Vec<Key> =
            self.out.iter().filter(|(_, r)| r.began.is_none()).map(|(&key, _)| key).collect();
        if let Some(key) = self.pick(&silent) {
            self.moment.now += 1;
            let now = self.moment.now;
            // What rings at this moment ends no run, so it is still out.
            self.out.get_mut(&key).expect("it was picked from there").began = Some(now);
            self.jobs.get_mut(&key).expect("it was submitted").began.get_or_insert(now);
            self.handle_now(Event::Started { key });
        }
    }

    fn end_a_run(&mut self) {
        self.tell_recalled();
        // News that a stream goes on can come after news of its end.
        let may_end = |run: &Running| run.blocked_on.is_none();
        let free = self.out.iter().filter(|(_, run)| may_end(run));
        let free: Vec<Key> = free.map(|(&key, _)| key).collect();
        let Some(key) = self.pick(&free) else { return };
        self.out.get_mut(&key).expect("it was picked from there").ready = None;
        // Time passes first, which may be what its deadline waits for.
        self.moment.now += 1;
        self.handle_now(Event::Tick);
        let running = self.out.remove(&key).expect("it was picked from there");
        let ended = [Ended::Done, Ended::Done, Ended::Done, Ended::FailedForNow, Ended::Failed]
            [self.rng.random_range(0..5)];
        let before = self.jobs[&key].clone();
        self.handle_now(Event::Finished { key, ended });
        let after = &self.jobs[&key];
        let retried = before.starts <= before.retries;
        match (running.aborted, ended) {
            (Some(Stop::Cancelled), _) => {
                assert!(matches!(after.verdict, Some(Verdict::Cancelled(_))), "{key}");
            }
            (_, Ended::Done) => assert_eq!(after.verdict, Some(Verdict::Done), "{key}"),
            (Some(Stop::TimedOut), _) => {
                assert_eq!(after.verdict, before.timeout.map(Verdict::TimedOut), "{key}");
            }
            (_, Ended::FailedForNow) if retried => {
                // Unless the time for all attempts is over.
                let end = before.began.zip(before.timeout).map(|(began, limit)| began + limit);
                let late = end.is_some_and(|end| end <= self.moment.now);
                let verdict = before.timeout.filter(|_| late).map(Verdict::TimedOut);
                assert_eq!(after.verdict, verdict, "{key}: not retried");
            }
            (Some(Stop::AttemptTimedOut), _) => {
                assert_eq!(after.verdict, before.attempt_timeout.map(Verdict::TimedOut), "{key}");
            }
            _ => assert_eq!(after.verdict, Some(Verdict::Failed), "{key}"),
        }
    }

    /// A kind is paused, or goes on; what was taken back is told some time.
    fn pause_one(&mut self) {
        if self.rng.random_bool(0.3) {
            let kind = KindId::ALL[self.rng.random_range(0..KindId::COUNT)];
            let paused = self.rng.random_bool(0.4);
            self.set_paused(kind, paused);
        }
        self.tell_recalled();
    }

    fn set_paused(&mut self, kind: KindId, paused: bool) {
        self.handle(Event::Tick);
        self.paused[kind as usize] = paused;
        self.handle_now(Event::Pause { kind, paused });
    }

    fn tell_recalled(&mut self) {
        let recalled = std::mem::take(&mut self.recalled);
        if recalled.is_empty() {
            return;
        }
        let mut called_off = BTreeSet::new();
        for (key, _) in &recalled {
            let running = self.out.remove(key).expect("it was taken back from there");
            let job = self.jobs.get_mut(key).expect("it was submitted");
            job.starts -= 1;
            job.taken_back.get_or_insert(running.place);
            if running.aborted.is_none() {
                let demands = self.rates.demands(running.kind, Some(&job.demands));
                self.rates.give_back(&demands);
            }
            if matches!(running.aborted, Some(Stop::Cancelled)) {
                called_off.insert(*key);
            }
        }
        self.handle_now(Event::Recalled(recalled.clone()));
        for (key, _) in recalled {
            let ended = self.jobs[&key].ended().is_some();
            assert_eq!(ended, called_off.contains(&key), "{key}: recalled");
        }
        self.tell_recalled();
    }

    /// A finished job runs again; an unfinished one must not.
    fn rerun_one(&mut self) {
        let known: Vec<Key> =
            self.jobs.iter().filter(|(_, job)| job.submitted).map(|(&key, _)| key).collect();
        let Some(key) = self.pick(&known) else { return };
        let job = &self.jobs[&key];
        let kind = job.kind.expect("it was submitted");
        let rules = Rules {
            retries: job.retries,
            timeout: job.timeout,
            attempt_timeout: job.attempt_timeout,
            demands: job.demands.clone(),
            priority: job.priority,
            ..Rules::default()
        };
        let attempts = (rules != Rules::default()).then(|| Box::new(Attempts::new(rules)));
        let (needs, nested) = (smallvec::SmallVec::new(), None);
        let submission =
            Submission { key, kind, needs, nested, attempts, accepted: false, payload: key };
        let refused = job.verdict.is_none() || self.closed;
        let effects = self.handle_now(Event::Rerun(submission));
        let was_refused = effects.iter().any(|effect| matches!(effect, Effect::Refuse(..)));
        assert_eq!(was_refused, refused, "{key}: rerun or not");
    }

    fn cancel_one(&mut self) {
        let known: Vec<Key> = self.jobs.keys().copied().collect();
        if let Some(key) = self.pick(&known) {
            let pending = {
                let job = &self.jobs[&key];
                job.submitted && job.verdict.is_none() && !self.out.contains_key(&key)
            };
            self.handle(Event::Cancel { key, reason: CancelReason::Requested });
            if pending {
                let verdict = &self.jobs[&key].verdict;
                // Unless time, which passes with every event, was faster.
                assert!(verdict.is_some() || self.out.contains_key(&key));
            }
        }
    }

    /// Time passes: a little, to just when something is due, past it, or much of it; or somebody
    /// sets the clock.
    fn pass_time(&mut self) {
        match (self.rng.random_range(0..10), self.core.next_deadline()) {
            (0..5, Some(due)) => {
                let to = due + [0, 0, 0, 3, 40][self.rng.random_range(0..5)];
                self.moment.now = to.clamp(self.moment.now, self.moment.now + (1 << 50));
            }
            (9, _) => self.moment.now += self.rng.random_range(0..40 * 3_600_000_000_000),
            (8, _) => {
                self.moment.offset += self.rng.random_range(-100..100);
                self.handle_now(Event::ClockSet { offset: self.moment.offset });
            }
            _ => self.moment.now += self.rng.random_range(0..20),
        }
        self.handle_now(Event::Tick);
    }

    /// A custom condition answers, perhaps when its job has ended.
    fn answer_one(&mut self) {
        let asked: Vec<(Key, u32)> = self
            .jobs
            .iter()
            .flat_map(|(&key, job)| job.asked.iter().map(move |&number| (key, number)))
            .collect();
        let Some((key, number)) = self.pick(&asked) else { return };
        // What comes due meanwhile goes by the answer before.
        self.handle(Event::Tick);
        let job = self.jobs.get_mut(&key).expect("it was found there");
        job.asked.remove(&number);
        let waits = job.verdict.is_none();
        let panics = self.rng.random_bool(0.05);
        let answer = match self.rng.random_bool(0.3) {
            _ if panics => Err(PanicInfo { message: "oh".into(), location: None }),
            yes => {
                let set = &mut job.yes;
                if yes {
                    set.insert(number)
                } else {
                    set.remove(&number)
                };
                Ok(yes)
            }
        };
        self.handle_now(Event::Answer { key, number, answer });
        let ended = self.jobs[&key].ended();
        let begun = self.jobs[&key].could_start || self.jobs[&key].starts > 0;
        assert!(!(waits && panics) || ended.is_some() || begun, "{key}: waits after a panic");
    }

    fn block_one(&mut self) {
        self.tell_recalled();
        // One in four is a stream that waits for its reader.
        let readers = self.rng.random_bool(0.25);
        let free =
            self.out.iter().filter(|(_, r)| if readers { !r.lent } else { r.blocked_on.is_none() });
        let free: Vec<Key> = free.map(|(&key, _)| key).collect();
        let open: Vec<Key> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.submitted && job.verdict.is_none())
            .map(|(&key, _)| key)
            .collect();
        if let (Some(key), Some(on)) = (self.pick(&free), self.pick(&open)) {
            // Marked first: what the lent permit starts must not count this job.
            let running = self.out.get_mut(&key).expect("it was picked from there");
            running.ready = None;
            if readers {
                running.lent = true;
                self.handle(Event::Lent { key, lent: true });
            } else {
                running.blocked_on = Some(on);
                self.handle(Event::Blocked { key, on });
            }
        }
    }

    fn unblock_one(&mut self) {
        let blocked: Vec<Key> =
            self.out.iter().filter(|(_, r)| !r.has_permit()).map(|(&key, _)| key).collect();
        if let Some(key) = self.pick(&blocked) {
            let running = self.out.get_mut(&key).expect("it was picked from there");
            if running.lent && (running.blocked_on.is_none() || self.rng.random_bool(0.5)) {
                running.lent = false;
                self.handle(Event::Lent { key, lent: false });
            } else {
                running.blocked_on = None;
                self.handle(Event::Unblocked { key });
            }
        }
    }

    /// A blocked job's thread looks for something to run.
    fn run_inline(&mut self) {
        let goals: Vec<Key> = self.out.values().filter_map(|r| r.blocked_on).collect();
        let Some(goal) = self.pick(&goals) else { return };
        let mut found = None;
        let may = |kind| kind == KindId::Thread;
        let mut path = std::mem::take(&mut self.path);
        // The path of another goal leads astray.
        if self.path_of.replace(goal) != Some(goal) {
            path = Path::default();
        }
        self.core.find_runnable(goal, &mut path, true, &may, &mut |key, _, in_queue| {
            found = in_queue.then_some(key);
            in_queue
        });
        self.path = path;
        if let Some(key) = found {
            let needed = key == goal || self.out_or_open_waits(goal, key);
            assert!(needed, "{key} does not bring {goal} nearer");
            let over = self.rng.random_bool(0.5);
            let demands = self.rates.demands(KindId::Thread, Some(&self.jobs[&key].demands));
            let mut kept = self.core.ready.supplies().nothing_kept();
            let may = (over || self.core.ready.has_permit(KindId::Thread))
                && !self.paused[KindId::Thread as usize]
                && self.rates.opens(&demands, self.moment.now).is_none()
                && self.core.ready.supplies().has(&demands, &mut kept);
            self.over = over;
            let effects = self.handle_now(Event::TakeInline { key, over });
            self.over = false;
            assert_eq!(effects.contains(&Effect::Inline(key)), may);
        }
    }

    /// Nothing moves, as far as the threads can see.
    fn start_one(&mut self) {
        let free = |key: &Key| {
            let job = &self.jobs[key];
            let kind = job.kind.expect("it was submitted");
            let demands = self.rates.demands(kind, Some(&job.demands));
            let mut kept = self.core.ready.supplies().nothing_kept();
            !self.paused[kind as usize]
                && self.rates.opens(&demands, self.moment.now).is_none()
                && self.core.ready.supplies().has(&demands, &mut kept)
        };
        let nodes = self.core.nodes.iter().filter(|(_, node)| node.state == State::Ready);
        let may =
            nodes.map(|(key, _)| key).any(|key| free(&key) && self.jobs[&key].demands.is_empty());
        self.over = true;
        let effects = self.handle_now(Event::StartOne);
        self.over = false;
        let started = effects.iter().any(|effect| matches!(effect, Effect::Start { .. }));
        assert!(started || !may, "nothing was started, and something could be");
    }

    /// Whether `goal` waits for `key` by arguments, in its own code, or for what it holds.
    fn out_or_open_waits(&self, goal: Key, key: Key) -> bool {
        let mut open = vec![goal];
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if at == key {
                return true;
            }
            if let Some(job) = self.jobs.get(&at).filter(|_| seen.insert(at)) {
                open.extend(&job.upstream);
                job.condition.iter().for_each(|condition| condition.jobs(&mut open));
                open.extend(self.out.get(&at).and_then(|running| running.blocked_on));
                // A ready one waits for those who hold what it lacks.
                let of = |key: Key| self.jobs[&key].demands.resources.iter().map(|&(id, _)| id);
                let shares = |key: Key| of(key).any(|id| of(at).any(|own| own == id));
                if self.core.nodes.get(at).is_some_and(|node| node.state == State::Ready) {
                    open.extend(self.out.keys().copied().filter(|&holder| shares(holder)));
                }
            }
        }
        false
    }

    fn remove_one(&mut self) {
        let known: Vec<Key> = self.jobs.keys().copied().collect();
        if let Some(key) = self.pick(&known) {
            let finished = self.jobs[&key].verdict.is_some();
            let removed = self.core.remove(key);
            assert!(finished || removed.is_err(), "{key}: removed before its end");
            self.core.sanity_check();
        }
    }

    /// Everything ends: by itself, or by a cancellation of all.
    fn wind_up(&mut self) {
        self.closed = self.rng.random_bool(0.5);
        if self.closed {
            self.handle(Event::Close);
        }
        let cancelled = self.rng.random_bool(0.5);
        if cancelled {
            self.handle(Event::CancelAll { reason: CancelReason::Shutdown });
        }
        self.tell_recalled();
        for kind in KindId::ALL {
            self.set_paused(kind, false);
        }
        let mut patience = 100_000;
        while !self.out.is_empty()
            || (self.core.live + self.core.delayed + self.core.ready.len() > 0 && patience > 0)
        {
            self.unblock_one();
            self.end_a_run();
            self.pass_time();
            self.answer_one();
            patience -= 1;
        }
        if self.core.live > 0 {
            // Two weekdays of one week, at most, or a custom condition that keeps saying no.
            self.handle(Event::CancelAll { reason: CancelReason::Shutdown });
        }
        if cancelled {
            assert!(self.core.is_idle(), "a job outlived the cancellation of all");
        } else if !self.core.is_idle() {
            assert!(self.core.is_stalled(), "jobs remain, nothing runs, and it is no stall");
            for stalled in self.core.stalled() {
                assert!(!stalled.waits_for.is_empty(), "{}: stalls on nothing", stalled.key);
            }
            self.handle(Event::CancelAll { reason: CancelReason::Shutdown });
        }
        assert!(self.core.is_idle());
        for (key, job) in &self.jobs {
            assert_eq!(job.submitted, job.verdict.is_some(), "{key}: no terminal state");
        }
        let counts = self.core.counts();
        assert_eq!(counts.done + counts.failed + counts.cancelled, self.ends);
    }
}

fn run_seed(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS_PER_SEED {
        world.step();
    }
    world.wind_up();
}

#[test]
fn a_million_random_steps_keep_every_invariant() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return run_seed(seed.parse().expect("SIMULATION_SEED is a number"));
    }
    let first = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    (0..STEPS / STEPS_PER_SEED).into_par_iter().for_each(|number| {
        let seed =
            u64::try_from(first % u128::from(u64::MAX)).expect("it fits").wrapping_add(number);
        if let Err(panic) = std::panic::catch_unwind(|| run_seed(seed)) {
            eprintln!("the simulation failed; repeat it with SIMULATION_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    });
}

/// A core whose permits never run out, for tests of one rule each.
fn roomy() -> Core<Key> {
    let limits = Limits {
        max_jobs: None,
        per_kind: [usize::MAX; KindId::COUNT],
        window: [0; KindId::COUNT],
        ageing: 1,
        resources: Vec::new(),
        rates: Rates::default(),
    };
    Core::new(limits, usize::MAX, Moment::default())
}

fn submit(core: &mut Core<Key>, key: Key, upstream: &[Key]) -> Vec<Effect<Key>> {
    let argument = |&key: &Key| Need { edge: Edge::argument(key), ended: None, watched: None };
    let needs = upstream.iter().map(argument).collect();
    let mut effects = Vec::new();
    let kind = KindId::Thread;
    let accepted = false;
    let submission =
        Submission { key, kind, needs, nested: None, attempts: None, accepted, payload: key };
    core.handle(Event::Submit(submission), 1, &mut effects);
    effects
}

#[test]
fn a_cycle_is_refused_and_named() {
    let mut core = roomy();
    assert_eq!(submit(&mut core, 1, &[2]), []);
    assert_eq!(submit(&mut core, 2, &[3]), []);
    let refusal = super::message::Refusal::Cycle(vec![3, 1, 2]);
    assert_eq!(submit(&mut core, 3, &[1]), [Effect::Refuse(3, refusal)]);
    let itself = super::message::Refusal::Cycle(vec![4]);
    assert_eq!(submit(&mut core, 4, &[4]), [Effect::Refuse(4, itself)]);
    core.sanity_check();
    assert_eq!(
        submit(&mut core, 3, &[]),
        [Effect::Start { payload: 3, kind: KindId::Thread, ready: 1 }]
    );
}

#[test]
fn a_cycle_is_cancelled_where_it_is_too_late_to_refuse_it() {
    let mut core = roomy();
    submit(&mut core, 1, &[2]);
    submit(&mut core, 2, &[3]);
    let needs = smallvec::smallvec![Need { edge: Edge::argument(1), ended: None, watched: None }];
    let kind = KindId::Thread;
    let submission = Submission {
        key: 3,
        kind,
        needs,
        nested: None,
        attempts: None,
        accepted: true,
        payload: 3,
    };
    let mut effects = Vec::new();
    core.handle(Event::Submit(submission), 1, &mut effects);
    core.sanity_check();
    let told: Vec<String> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Publish { key, verdict: Verdict::Cancelled(why) } => format!("{key}: {why}"),
            other => panic!("{other:?}"),
        })
        .collect();
    let ids = [3, 1, 2].map(|key| crate::id::JobId::from_count(key).to_string());
    let circle = format!("it would wait for itself: {}", ids.join(" waits for "));
    assert_eq!(
        told,
        [
            format!("3: its condition can no longer come true: {circle}"),
            format!("2: job {}, whose result it needs, failed or was cancelled", ids[0]),
            format!("1: job {}, whose result it needs, failed or was cancelled", ids[2]),
        ]
    );
    assert!(core.is_idle());
}

#[test]
fn a_chain_of_a_million_is_cancelled_by_a_loop() {
    let mut core = roomy();
    submit(&mut core, 0, &[]);
    for key in 1..1_000_000 {
        submit(&mut core, key, &[key - 1]);
    }
    let mut effects = Vec::new();
    core.handle(Event::Finished { key: 0, ended: Ended::Failed }, 2, &mut effects);
    assert_eq!(effects.len(), 1_000_000);
    assert!(core.is_idle());
}

#[test]
fn cancelled_dependents_of_one_job_do_not_gather() {
    let mut core = roomy();
    let reason = CancelReason::Requested;
    // One that is never submitted, and one that is and waits for it.
    submit(&mut core, 1, &[0]);
    for round in 0..10_000 {
        let key = round + 10;
        submit(&mut core, key, &[1, 2]);
        core.handle(Event::Cancel { key, reason: reason.clone() }, 1, &mut Vec::new());
        core.remove_finished();
    }
    core.sanity_check();
    let waiting = |key| core.nodes.get(key).map_or(0, |node| node.downstream.as_slice().len());
    assert!(waiting(1) <= 128, "{} stale dependents", waiting(1));
    assert!(core.nodes.get(2).is_none(), "nobody expects it any more");
    assert_eq!(core.nodes.iter().count(), 2);
}
