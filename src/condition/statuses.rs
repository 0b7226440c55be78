//! A set of final statuses.

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Which ends of a job count: a set of final statuses, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Status>", try_from = "Vec<Status>")]
pub(crate) struct Statuses(u8);

const FINAL: [Status; 3] = [Status::Done, Status::Failed, Status::Cancelled];

impl Statuses {
    pub(crate) const DONE: Self = Self(1);
    pub(crate) const FAILED: Self = Self(2);
    pub(crate) const CANCELLED: Self = Self(4);
    pub(crate) const ALL: Self = Self(7);
    pub(crate) const NONE: Self = Self(0);

    fn of(status: Status) -> Self {
        match status {
            Status::Done => Self::DONE,
            Status::Failed => Self::FAILED,
            Status::Cancelled => Self::CANCELLED,
            Status::Created | Status::Pending | Status::Running => Self::NONE,
        }
    }

    /// The set of these.
    ///
    /// # Errors
    /// The first that is not final.
    pub(crate) fn from_all(statuses: impl IntoIterator<Item = Status>) -> Result<Self, Status> {
        statuses.into_iter().try_fold(Self::NONE, |set, status| match Self::of(status) {
            Self::NONE => Err(status),
            one => Ok(Self(set.0 | one.0)),
        })
    }

    pub(crate) fn contains(self, status: Status) -> bool {
        self.0 & Self::of(status).0 != 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`bits`](Self::bits).
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// "done", "failed or cancelled", "finished".
    pub(crate) fn words(self) -> String {
        match self {
            Self::ALL => "finished".into(),
            Self::NONE => "in no status at all".into(),
            some => some.iter().map(|status| status.to_string()).collect::<Vec<_>>().join(" or "),
        }
    }

    fn iter(self) -> impl Iterator<Item = Status> {
        FINAL.into_iter().filter(move |status| self.contains(*status))
    }
}

impl From<Statuses> for Vec<Status> {
    fn from(set: Statuses) -> Self {
        set.iter().collect()
    }
}

impl TryFrom<Vec<Status>> for Statuses {
    type Error = String;

    fn try_from(statuses: Vec<Status>) -> Result<Self, String> {
        match Self::from_all(statuses) {
            Ok(Self::NONE) => Err("no status is named that a job could end in".into()),
            Ok(set) => Ok(set),
            Err(status) => Err(format!("{status} is not a final status")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_contain_what_they_are_made_of() {
        let set = Statuses::from_all([Status::Failed, Status::Cancelled]).unwrap();
        assert_eq!(Status::ALL.map(|s| set.contains(s)), [false, false, false, false, true, true]);
        assert_eq!(set.words(), "failed or cancelled");
        assert_eq!(Statuses::from_bits(set.bits()), set);
        assert_eq!(Statuses::from_all([Status::Running]), Err(Status::Running));
        assert_eq!(Statuses::try_from(vec![Status::Done]), Ok(Statuses::DONE));
        assert!(Statuses::try_from(vec![]).is_err());
        assert!(Statuses::try_from(vec![Status::Pending]).is_err());
    }
}
