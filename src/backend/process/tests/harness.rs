//! A backend with a dispatcher that only listens, and tasks to give it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use crate::backend::process::{ProcessBackend, Settings};
use crate::backend::{Backend, Reports, Run};
use crate::error::JobError;
use crate::job::{AnyJob, Ended, Job, Meta, TypedJob};

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Collects what a dispatcher would be told.
pub(super) struct Listener {
    posts: Sender<(u64, bool)>,
    pub(super) drives: AtomicUsize,
}

impl Reports for Listener {
    fn post_started(&self, _key: u64, _at: u64) {}

    fn post_finished(&self, key: u64, ended: Ended) {
        self.posts.send((key, ended == Ended::Done)).unwrap();
    }

    fn post_lent(&self, _key: u64, _run: u32, _lent: bool) {}

    fn post_taken_back(&self, _runs: Vec<Run>) -> bool {
        unreachable!("nothing is taken back here")
    }

    fn finished(&self, key: u64, ended: Ended, _at: u64) {
        self.post_finished(key, ended);
    }

    fn drive(&self) {
        self.drives.fetch_add(1, Ordering::Relaxed);
    }
}

/// A backend under test.
pub(super) struct Bench {
    pub(super) backend: ProcessBackend,
    /// The backend holds it weakly.
    _listener: Arc<Listener>,
    news: Receiver<(u64, bool)>,
    /// News that came while others were waited for.
    heard: Mutex<Vec<(u64, bool)>>,
}

/// A job that was pushed.
pub(super) struct Pushed<T> {
    pub(super) job: Arc<dyn TypedJob<T>>,
}

pub(super) fn settings(limit: usize) -> Settings {
    Settings {
        limit,
        max_jobs_per_worker: None,
        max_frame_bytes: 1 << 26,
        kill_grace: Duration::from_secs(20),
        worker_exe: None,
    }
}

impl Bench {
    pub(super) fn new(settings: Settings) -> Self {
        let (posts, news) = unbounded();
        let listener = Arc::new(Listener { posts, drives: AtomicUsize::new(0) });
        let reports: Arc<dyn Reports> = Arc::clone(&listener) as _;
        let backend = ProcessBackend::new(settings, Arc::downgrade(&reports));
        Self { backend, _listener: listener, news, heard: Mutex::default() }
    }

    pub(super) fn workers(n: usize) -> Self {
        Self::new(settings(n))
    }

    /// Pushes a job without kicking.
    pub(super) fn put<K, T: Send + 'static>(&self, mut job: Job<K, T>) -> Pushed<T> {
        let meta: Box<Meta> = job.meta.take().unwrap_or_default();
        job.job.head().set_meta(meta);
        job.job.head().submit(1);
        let any: Arc<dyn AnyJob> = Arc::clone(&job.job).into_any_job();
        self.backend.push(Run { run: any.head().run(), job: any, ready: 0 });
        Pushed { job: job.job }
    }

    pub(super) fn push<K, T: Send + 'static>(&self, job: Job<K, T>) -> Pushed<T> {
        let pushed = self.put(job);
        self.backend.kick();
        pushed
    }

    /// Waits for the news of this job; each comes once.
    pub(super) fn wait<T>(&self, pushed: &Pushed<T>) -> bool {
        let key = pushed.job.head().key();
        let mut heard = self.heard.lock();
        loop {
            if let Some(at) = heard.iter().position(|&(k, _)| k == key) {
                return heard.swap_remove(at).1;
            }
            heard.push(self.news.recv_timeout(PATIENCE).expect("the job's news come in time"));
        }
    }

    /// Waits for the result.
    pub(super) fn result<T>(&self, pushed: &Pushed<T>) -> Result<T, JobError> {
        let ok = self.wait(pushed);
        let result = pushed.job.take_result();
        assert_eq!(ok, result.is_ok());
        result
    }

    /// The error of a job that must fail.
    pub(super) fn error<T>(&self, pushed: &Pushed<T>) -> JobError {
        match self.result(pushed) {
            Ok(_) => panic!("the job should have failed"),
            Err(error) => error,
        }
    }

    pub(super) fn abort<T: Send + 'static>(&self, pushed: &Pushed<T>) {
        let job: Arc<dyn AnyJob> = Arc::clone(&pushed.job).into_any_job();
        self.backend.abort(&Run { run: job.head().run(), job, ready: 0 });
    }

    /// No news are left over.
    pub(super) fn assert_quiet(&self) {
        assert!(self.heard.lock().is_empty() && self.news.is_empty(), "each job has one outcome");
    }
}

impl<T: Send + 'static> Pushed<T> {
    pub(super) fn any(&self) -> Arc<dyn AnyJob> {
        Arc::clone(&self.job).into_any_job()
    }
}

/// A pipe by which a test holds a task, and a task tells that it has begun. Paths go through
/// `/proc`, so that any process can open its ends.
pub(super) struct Gate {
    read: std::os::fd::OwnedFd,
    write: Option<std::os::fd::OwnedFd>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let (read, write) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe can be made");
        Self { read, write: Some(write) }
    }

    fn path(fd: &impl std::os::fd::AsRawFd) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd())
    }

    /// Where to read from: the end comes when the gate is opened.
    pub(super) fn reader(&self) -> String {
        Self::path(&self.read)
    }

    /// Where to write to.
    pub(super) fn writer(&self) -> String {
        Self::path(self.write.as_ref().expect("it is not open yet"))
    }

    /// Lets everybody through that reads from it.
    pub(super) fn open(&mut self) {
        self.write = None;
    }

    /// Waits until somebody has written a line.
    pub(super) fn line(&self) -> String {
        use std::io::{BufRead, BufReader};
        use std::os::fd::AsFd;
        let fd = self.read.try_clone().unwrap();
        let mut fds = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = nix::poll::PollTimeout::try_from(PATIENCE).unwrap();
        assert_eq!(nix::poll::poll(&mut fds, timeout), Ok(1), "a line comes in time");
        let mut line = String::new();
        // One byte at a time would be exact; tasks write one line and wait.
        BufReader::new(std::fs::File::from(fd)).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Bench {
    /// What a thread does that is about to wait for the job.
    pub(super) fn serve<T: Send + 'static>(&self, pushed: &Pushed<T>, deadline: Option<Instant>) {
        self.backend.serve(&pushed.any(), deadline, &|| false);
    }
}

/// Waits until a process is gone or a zombie nobody has reaped yet.
pub(super) fn await_end(pid: i32) {
    use std::os::fd::AsFd;
    let Ok(fd) = crate::sys::pidfd(pid) else { return };
    let mut fds = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLIN)];
    let timeout = nix::poll::PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(nix::poll::poll(&mut fds, timeout), Ok(1), "process {pid} ends in time");
}

/// Tasks.
#[allow(unsafe_code, reason = "the linker section of `#[task]`, seen from inside its own crate")]
pub(super) mod tasks {
    use std::io::{Read, Write};

    use crate::task;

    #[task]
    pub(crate) fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    #[task]
    pub(crate) fn pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    /// Says its pid into the one file and waits for the end of the other.
    #[task]
    pub(crate) fn hold(say: String, wait: String) -> i32 {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut wait = std::fs::File::open(wait).unwrap();
        let mut say = std::fs::OpenOptions::new().write(true).open(say).unwrap();
        say.write_all(format!("{own}\n").as_bytes()).unwrap();
        drop(say);
        let mut all = Vec::new();
        wait.read_to_end(&mut all).unwrap();
        own
    }

    #[task]
    pub(crate) fn boom(text: String) -> u8 {
        panic!("{text}")
    }

    #[task]
    pub(crate) fn parse(text: String) -> Result<u8, std::num::ParseIntError> {
        text.parse()
    }

    #[task]
    pub(crate) fn exit(code: i32) -> u8 {
        eprintln!("leaving with {code}");
        std::process::exit(code)
    }

    #[task]
    pub(crate) fn signal_self(signal: i32) -> u8 {
        let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
        nix::sys::signal::raise(signal).unwrap();
        0
    }

    #[task]
    pub(crate) fn abort() -> u8 {
        std::process::abort()
    }

    #[task]
    pub(crate) fn bytes(n: usize) -> Vec<u8> {
        vec![7; n]
    }

    #[task]
    pub(crate) fn length(data: Vec<u8>) -> usize {
        data.len()
    }
    /// What its descriptors are.
    #[task]
    pub(crate) fn descriptors() -> Vec<String> {
        let list: Vec<_> =
            std::fs::read_dir("/proc/self/fd").unwrap().map(|fd| fd.unwrap().path()).collect();
        // The one of the listing itself is gone by now.
        list.iter()
            .filter_map(|fd| Some(std::fs::read_link(fd).ok()?.display().to_string()))
            .collect()
    }

    /// Starts a child that outlives the task, and says its pid.
    #[task]
    #[allow(clippy::zombie_processes, reason = "to be left behind is what it is for")]
    pub(crate) fn leave_child(say: String) {
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::write(say, format!("{}\n", child.id())).unwrap();
    }

    /// As `leave_child`, but in a session of its own and no child of ours.
    #[task]
    pub(crate) fn leave_daemon(say: String) {
        let script = "setsid sleep 600 & echo $! > \"$0\"";
        std::process::Command::new("sh").args(["-c", script, &say]).status().unwrap();
    }

    /// As `hold`, but ignores SIGTERM.
    #[task]
    pub(crate) fn stubborn(say: String, wait: String) -> i32 {
        let mut mask = nix::sys::signal::SigSet::empty();
        mask.add(nix::sys::signal::Signal::SIGTERM);
        mask.thread_block().unwrap();
        hold(say, wait)
    }

    /// The directory, the umask, and a variable.
    #[task]
    pub(crate) fn surroundings() -> (String, u32, Option<String>) {
        (
            std::env::current_dir().unwrap().display().to_string(),
            crate::sys::own_umask().unwrap(),
            std::env::var(crate::forkserver::TOKEN).ok(),
        )
    }
}

/// A task that does what no worker should.
#[allow(unsafe_code, reason = "the linker section of `#[task]`, seen from inside its own crate")]
pub(super) mod rogue {
    use std::io::Write;

    use crate::job::Yield;
    use crate::task;
    use crate::wire::frame::Header;
    use crate::wire::message::{NOTE_VALUES, REPLY_OK, REPLY_SKIPPED};

    pub(crate) const GARBAGE: u8 = 0;
    pub(crate) const LONG: u8 = 1;
    pub(crate) const UNASKED: u8 = 2;
    pub(crate) const SKIPPED: u8 = 3;
    pub(crate) const KIND: u8 = 4;
    pub(crate) const HALF: u8 = 5;
    pub(crate) const CLOSE: u8 = 6;

    /// The socket to the engine, as a task that means harm would find it.
    fn socket() -> std::os::unix::net::UnixStream {
        use std::os::fd::AsFd;
        let mine = std::fs::read_dir("/proc/self/fd").unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            let target = std::fs::read_link(&path).ok()?;
            let number: i32 = path.file_name()?.to_str()?.parse().ok()?;
            target.to_str()?.starts_with("socket:").then_some(number)
        });
        let number = mine.expect("a worker has a socket");
        let pid = nix::unistd::Pid::this();
        // Another descriptor of the same socket, by way of a pidfd: no unsafe code needed.
        let pidfd = crate::sys::pidfd(pid.as_raw()).unwrap();
        let fd = crate::sys::duplicate_of(pidfd.as_fd(), number).unwrap();
        fd.into()
    }

    /// Sends more values than it may: `values` of no bytes, or, if that is 0, a frame with none.
    #[task]
    pub(crate) fn flood(_out: Yield<()>, values: u16) {
        let header = Header { length: 0, seq: 1, extra: values, kind: NOTE_VALUES };
        socket().write_all(&header.to_bytes()).unwrap();
        loop {
            std::thread::park();
        }
    }

    #[task]
    pub(crate) fn say(way: u8) -> Vec<u8> {
        let mut socket = socket();
        let mut send = |length: u64, seq: u32, kind: u8| {
            let header = Header { length, seq, extra: 0, kind };
            socket.write_all(&header.to_bytes()).unwrap();
        };
        match way {
            GARBAGE => socket.write_all(&[b'?'; 64]).unwrap(),
            LONG => send(u64::MAX, 1, REPLY_OK),
            UNASKED => send(0, 77, REPLY_OK),
            SKIPPED => send(0, 1, REPLY_SKIPPED),
            KIND => send(0, 1, 0xEE),
            HALF => {
                send(1000, 1, REPLY_OK);
                std::process::abort();
            }
            _ => crate::sys::shutdown(&socket, std::net::Shutdown::Both),
        }
        loop {
            std::thread::park();
        }
    }
}
