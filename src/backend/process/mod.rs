//! stub
use super::{Backend, Reports, Run};
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;
pub(crate) struct ProcessSettings {
    pub(crate) limit: usize,
    pub(crate) max_jobs_per_worker: Option<u32>,
    pub(crate) max_frame_bytes: usize,
    pub(crate) kill_grace: Duration,
    pub(crate) worker_exe: Option<PathBuf>,
}
pub(crate) struct ProcessBackend;
impl ProcessBackend {
    pub(crate) fn new(_: ProcessSettings, _: Weak<dyn Reports>) -> Self {
        Self
    }
}
impl Backend for ProcessBackend {
    fn push(&self, _: Run) {}
    fn kick(&self) {}
    fn abort(&self, _: &Run) {}
    fn has_waiting(&self) -> bool {
        false
    }
    fn shutdown(&self) {}
}
