//! A nested condition in words: what of it is still missing, and why it can never hold.

use std::fmt::Write;

use super::statuses::Statuses;
use super::tree::{NEVER, Tree, What};
use crate::clock::Moment;
use crate::status::Status;

/// More than this many parts are not told one by one.
const MOST_TOLD: usize = 40;

/// A job of a condition, to be put into words by who knows its name: its key, how it was to
/// end, and how it did.
pub(crate) type TellJob<'a> = dyn Fn(&mut String, u64, Statuses, Option<Status>) + 'a;

impl Tree {
    /// Appends what the condition still waits for: a line for each part that does not hold,
    /// combinations with their parts indented below them.
    pub(crate) fn tell_missing(
        &self,
        text: &mut String,
        indent: usize,
        moment: Moment,
        tell_job: &TellJob<'_>,
    ) {
        let parts = &self.parts;
        // The parts of each combination, in order, as a list through all parts.
        let mut first = vec![None; parts.len()];
        let mut next = vec![None; parts.len()];
        for (at, part) in parts.iter().enumerate().rev() {
            let parent = part.parent as usize;
            if parent != at {
                next[at] = first[parent].replace(at);
            }
        }
        let root = parts.len() - 1;
        let holding = self.holding(moment);
        let mut told = 0;
        let mut open = Vec::new();
        let push = |open: &mut Vec<(usize, usize)>, combination: usize, indent: usize| {
            let from = open.len();
            let mut child = first[combination];
            while let Some(at) = child {
                open.push((at, indent));
                child = next[at];
            }
            open[from..].reverse();
        };
        // What all must hold is simply listed.
        match parts[root].what {
            What::All(_) => push(&mut open, root, indent),
            _ => open.push((root, indent)),
        }
        while let Some((at, indent)) = open.pop() {
            let part = &parts[at];
            if holding[at] {
                continue;
            }
            told += 1;
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', 2 * indent));
            if told > MOST_TOLD {
                text.push_str("and more");
                return;
            }
            let combination = match &part.what {
                What::All(_) => "all of:",
                What::Any(_) => "one of:",
                What::Job { statuses, ended } => {
                    let key = self.job_of(at);
                    tell_job(text, key, *statuses, *ended);
                    continue;
                }
                What::Clocked => {
                    self.tell_clocked(text, at, moment);
                    continue;
                }
            };
            text.push_str(combination);
            push(&mut open, at, indent + 1);
        }
    }

    /// Why it can never hold: the parts that are to blame.
    pub(crate) fn tell_dead(&self, moment: Moment, tell_job: &TellJob<'_>) -> String {
        let mut text = String::new();
        let dead = self.parts.iter().enumerate().filter(|(_, part)| part.value & NEVER != 0);
        for (count, (at, part)) in dead.enumerate() {
            if count == MOST_TOLD {
                text.push_str("; and more");
                break;
            }
            let before = text.len();
            match &part.what {
                What::Job { statuses, ended } => {
                    tell_job(&mut text, self.job_of(at), *statuses, *ended)
                }
                What::Clocked => self.tell_clocked(&mut text, at, moment),
                What::Any(counts) if counts.is_empty() => text.push_str("one of no conditions"),
                What::All(_) | What::Any(_) => continue,
            }
            if before > 0 {
                text.insert_str(before, "; ");
            }
        }
        if text.is_empty() {
            text.push_str("its parts never hold at one moment");
        }
        text
    }

    /// The jobs that are to blame, in the order of keys.
    pub(crate) fn dead_jobs(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self
            .jobs
            .iter()
            .filter(|&&(_, part)| self.parts[part as usize].value & NEVER != 0)
            .map(|&(key, _)| key)
            .collect();
        keys.dedup();
        keys
    }

    fn job_of(&self, part: usize) -> u64 {
        // Told parts are few; the list is in the order of keys, not of parts.
        self.jobs.iter().find(|&&(_, at)| at as usize == part).map_or(0, |&(key, _)| key)
    }

    fn tell_clocked(&self, text: &mut String, part: usize, moment: Moment) {
        let at = self.clocked.partition_point(|clocked| (clocked.part as usize) < part);
        if let Some(clocked) = self.clocked.get(at) {
            // Writing to a String cannot fail.
            let _ = clocked.what.write(text, moment, self.submitted);
        } else {
            let _ = write!(text, "its condition");
        }
    }
}
