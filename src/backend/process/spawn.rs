//! New workers, and the end of old ones.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::Level;

use super::pool::{About, Pool, Records};
use super::server::{self, ForkServer};
use super::shared::Shared;
use super::stderr::Tail;
use super::threads::Threads;
use super::worker::{Birth, Queued, State, Worker};
use crate::error::JobError;
use crate::files;
use crate::sys;
use crate::wire::claims::Claims;
use crate::wire::message::ToServer;

/// Why there is no new worker.
pub(super) enum NoSpawn {
    /// There is no fork server to ask.
    NoServer(JobError),
    /// This worker could not be made.
    NoWorker(JobError),
}

impl Pool {
    /// Starts the threads and the fork server, if they do not run.
    pub(super) fn ensure_server(&mut self, shared: &Shared) -> Result<(), JobError> {
        if self.server.is_some() {
            return Ok(());
        }
        let settings = Arc::clone(&self.settings);
        let failed = |error| server::cannot_start(&settings, &error);
        if self.threads.is_none() {
            let Some(me) = shared.me.upgrade() else {
                return Err(JobError::no_worker("the engine is shut down".into()));
            };
            self.threads = Some(super::io::start(me).map_err(failed)?);
        }
        let Some(threads) = &self.threads else { return Ok(()) };
        self.last_generation += 1;
        let server = ForkServer::start(&settings, self.last_generation, &threads.epoll);
        self.server = Some(server.map_err(failed)?);
        // The I/O thread has to look at the clock until the server answers.
        shared.greeting.store(true, Ordering::Release);
        threads.wake();
        Ok(())
    }

    /// Makes a worker. `None` if it has to wait until old ones are gone.
    pub(super) fn spawn(&mut self, shared: &Shared, fresh: bool) -> Result<Option<u64>, NoSpawn> {
        self.ensure_server(shared).map_err(NoSpawn::NoServer)?;
        let (Some(server), Some(threads)) = (&mut self.server, &self.threads) else {
            return Ok(None);
        };
        let Some(slot) = server.free_slots.pop() else { return Ok(None) };
        self.last_worker += 1;
        let id = self.last_worker;
        match make(server, threads, &self.settings, &self.records, id, slot, fresh) {
            Ok(worker) => {
                self.workers.insert(id, worker);
                Ok(Some(id))
            }
            Err(error) => {
                server.free_slots.push(slot);
                Err(NoSpawn::NoWorker(JobError::no_worker(format!(
                    "a worker process cannot be started: {error}: check the limits on processes, \
                     open files and memory"
                ))))
            }
        }
    }

    /// A job found no worker. It waits for one of those that there are, or fails.
    pub(super) fn cannot_spawn(&mut self, job: Queued, why: NoSpawn) {
        match why {
            NoSpawn::NoServer(error) => self.fail_all(Some(job), &error),
            NoSpawn::NoWorker(_) if !job.fresh && self.somebody_serves() => {
                self.returned.push_front(job);
            }
            NoSpawn::NoWorker(error) => self.fail(job, Some(error)),
        }
    }

    /// Whether there is a worker to which jobs can go, now or when it has time.
    pub(super) fn somebody_serves(&self) -> bool {
        self.workers.values().any(|worker| worker.state == State::Active && !worker.fresh)
    }

    /// Fails every job that waits.
    pub(super) fn fail_all(&mut self, first: Option<Queued>, error: &JobError) {
        let mut jobs: Vec<Queued> = first.into_iter().chain(self.returned.drain(..)).collect();
        jobs.extend(self.queue.drain(..));
        for job in jobs {
            if job.claimed || job.run.claim() {
                self.fail(job, Some(error.clone()));
            } else {
                self.dropped.push(job.run);
            }
        }
    }

    /// Lets a worker go that has done all it was to do.
    pub(super) fn close(&mut self, id: u64) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.state = State::Closing;
        sys::shutdown(&worker.socket, std::net::Shutdown::Write);
        let grace = u64::try_from(self.settings.kill_grace.as_millis()).unwrap_or(u64::MAX);
        // It exits at the end of its stream. If something in it hangs then, it is killed.
        self.tell(&ToServer::Kill { worker: id, term: false, grace: grace.max(1) }, Vec::new());
    }

    /// Tells the fork server something that needs no answer.
    pub(super) fn tell(&mut self, message: &ToServer, fds: Vec<OwnedFd>) {
        if let (Some(server), Some(threads)) = (&mut self.server, &self.threads)
            && let Err(error) = server.tell(message, fds, &threads.epoll)
        {
            self.tell_log(Level::Error, About::Process, || format!("to the fork server: {error}"));
        }
    }
}

/// Makes the descriptors of a worker and asks the fork server for its process. Requests can be
/// written to its socket at once.
fn make(
    server: &mut ForkServer,
    threads: &Threads,
    settings: &super::Settings,
    records: &Arc<Records>,
    id: u64,
    slot: usize,
    fresh: bool,
) -> io::Result<Worker> {
    let (ours, theirs) = sys::pair()?;
    let (stderr, stderr_end) = sys::nonblocking_pipe()?;
    let directory = files::program_directory()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let environment = sys::environment();
    let news = server.environment.as_ref() != Some(&environment);
    let spawn = ToServer::Spawn {
        worker: id,
        slot: u32::try_from(slot).unwrap_or(u32::MAX),
        environment: news.then(|| environment.clone()),
        umask: sys::own_umask()?,
        frame_cap: settings.max_frame_bytes as u64,
    };
    if let Some(number) = server.page.slot(slot) {
        Claims::new(number).reset();
    }
    let tail = Arc::new(Tail::new(stderr));
    let mut worker = Worker::new(Birth {
        id,
        generation: server.generation,
        socket: ours,
        page: Arc::clone(&server.page),
        slot,
        fresh,
        cap: settings.max_frame_bytes as u64,
        stderr: Arc::clone(&tail),
        records: Arc::clone(records),
    });
    threads.stderr.add(id, &tail)?;
    // What is registered by now is undone by the drop of the descriptors, or by their end.
    worker.watch(&threads.epoll);
    let fds = vec![theirs, stdout, stderr_end, directory];
    if let Err(error) = server.tell(&spawn, fds, &threads.epoll) {
        worker.unwatch(&threads.epoll);
        return Err(error);
    }
    if news {
        server.environment = Some(environment);
    }
    Ok(worker)
}
