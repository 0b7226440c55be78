//! What jobs are called in log records.

use std::fmt;

use super::head::Head;

/// Kind, id and name of a job, in words. Costs nothing until it is written.
pub(crate) struct Label<'a>(pub(super) &'a Head);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = (self.0.kind().name(), self.0.id());
        write!(f, "{kind} job {id} ({})", self.0.name().unwrap_or("unnamed"))
    }
}
