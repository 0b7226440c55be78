//! [`Timepoint`]: a moment of wall-clock time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::TimeZoneDatabase;

use super::parse::{Form, ParseError, shown, string_forms, trimmed};

static PARSER: DateTimeParser = DateTimeParser::new();

/// A moment in time, in nanoseconds, wherever on earth one is.
///
/// It is written as RFC 3339 has it, with `Z` or an offset, or as RFC 9557 has it, with the name
/// of a time zone. A time that the zone's clocks skip is taken to be as much later, one that they
/// show twice to be the first of the two; with an offset beside the zone's name it is the one
/// meant. A date alone with a zone's name is the start of that day.
///
/// The years go from 1677 to 2262: what is earlier or later is taken for the first or last moment
/// of them.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use executor_engine::condition::Timepoint;
///
/// let berlin: Timepoint = "2026-11-24T08:00[Europe/Berlin]".parse()?;
/// assert_eq!(berlin, "2026-11-24T08:00:00+01:00".parse()?);
/// assert_eq!(berlin.to_string(), "2026-11-24T07:00:00Z");
/// assert!("2026-11-24T08:00:00".parse::<Timepoint>().is_err()); // where?
///
/// let soon = Timepoint::from(SystemTime::now() + Duration::from_secs(5));
/// assert!(soon > SystemTime::now().into());
/// # Ok::<(), executor_engine::condition::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timepoint(i64); // nanoseconds since the Unix epoch

impl Timepoint {
    /// The same as a [`SystemTime`].
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use executor_engine::condition::Timepoint;
    ///
    /// let moment: Timepoint = "1970-01-01T00:01:00Z".parse()?;
    /// assert_eq!(moment.as_system_time(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    #[must_use]
    pub fn as_system_time(self) -> SystemTime {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
    }

    /// The moment so many nanoseconds after the Unix epoch.
    #[allow(dead_code, reason = "the conditions that use it follow")]
    pub(crate) const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[allow(dead_code, reason = "the conditions that use it follow")]
    pub(crate) const fn nanos(self) -> i64 {
        self.0
    }

    /// The nearest moment that there is.
    fn saturating(nanos: i128) -> Self {
        let nearest = if nanos < 0 { i64::MIN } else { i64::MAX };
        Self(i64::try_from(nanos).unwrap_or(nearest))
    }
}

impl From<SystemTime> for Timepoint {
    fn from(time: SystemTime) -> Self {
        // No `Duration` has more than 2^94 nanoseconds.
        Self::saturating(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        })
    }
}

impl FromStr for Timepoint {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        let text = trimmed(Form::Timepoint, input)?;
        let refused = |problem: String| ParseError::new(Form::Timepoint, input, problem);
        let wrong = |error: jiff::Error| refused(shown(&error.to_string(), 160));
        let pieces = Pieces::parse(text).map_err(wrong)?;
        let timestamp = if pieces.time_zone_annotation().is_some() {
            let zoned = PARSER
                .parse_zoned_datetime(text)
                .or_else(|error| {
                    // The machine's zones may be fewer, or none.
                    let bundled = TimeZoneDatabase::bundled();
                    PARSER.parse_zoned_datetime_with(&bundled, text).map_err(|_| error)
                })
                .map_err(wrong)?;
            // There is a name for not knowing the zone.
            let where_is_known = !zoned.time_zone().is_unknown() || pieces.offset().is_some();
            where_is_known.then(|| zoned.timestamp())
        } else if pieces.offset().is_some() {
            Some(PARSER.parse_timestamp(text).map_err(wrong)?)
        } else {
            None
        };
        let timestamp = timestamp.ok_or_else(|| {
            refused(
                "it does not say where: end it with \"Z\" for UTC, an offset, or a time zone in \
                 brackets"
                    .to_owned(),
            )
        })?;
        Ok(Self::saturating(timestamp.as_nanosecond()))
    }
}

/// RFC 3339 in UTC: `2026-11-24T08:00:00Z`.
impl fmt::Display for Timepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            // Its years go much further.
            Err(_) => write!(f, "{} ns since 1970", self.0),
        }
    }
}

impl fmt::Debug for Timepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timepoint({self})")
    }
}

string_forms!(Timepoint, "a moment, like \"2026-11-24T08:00:00Z\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The moment in UTC, if it is one.
    fn read(text: &str) -> Option<String> {
        text.parse::<Timepoint>().ok().map(|moment| moment.to_string())
    }

    #[test]
    fn what_is_a_moment() {
        for (text, expected) in [
            ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
            ("2026-11-24t08:00:00z", "2026-11-24T08:00:00Z"),
            ("2026-11-24 08:00Z", "2026-11-24T08:00:00Z"),
            (" 2026-11-24T08:00:00Z\n", "2026-11-24T08:00:00Z"),
            ("2026-11-24T08:00:00.123456789Z", "2026-11-24T08:00:00.123456789Z"),
            ("2026-11-24T08:00:00+05:30", "2026-11-24T02:30:00Z"),
            ("2026-11-24T08:00:00-08:00", "2026-11-24T16:00:00Z"),
            ("2026-11-24T08:00[Europe/Berlin]", "2026-11-24T07:00:00Z"),
            ("2026-07-24T08:00[Europe/Berlin]", "2026-07-24T06:00:00Z"),
            ("2026-11-24T08:00+01:00[Europe/Berlin]", "2026-11-24T07:00:00Z"),
            ("2026-11-24T08:00Z[Europe/Berlin]", "2026-11-24T08:00:00Z"),
            ("2026-11-24T08:00[+01:00]", "2026-11-24T07:00:00Z"),
            ("2026-11-24T08:00[US/Pacific]", "2026-11-24T16:00:00Z"),
            ("2026-11-24[Europe/Berlin]", "2026-11-23T23:00:00Z"),
            // Skipped and shown twice.
            ("2026-03-29T02:30[Europe/Berlin]", "2026-03-29T01:30:00Z"),
            ("2026-10-25T02:30[Europe/Berlin]", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30+02:00[Europe/Berlin]", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30+01:00[Europe/Berlin]", "2026-10-25T01:30:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "now",
            "12:30",
            "1732435200",
            "2026-11-24Z",
            "2026-13-01T00:00Z",
            "2026-02-29T00:00Z",
            "2026-11-24T25:00Z",
            "2026-11-24T08:00Zx",
            "2026-11-24T08:00:00.1234567891Z",
            "2026-11-24T08:00[Europe/Atlantis]",
            "2026-11-24T08:00+05:00[Europe/Berlin]",
            "2026-11-24T08:00[",
            "2026-11-24T08:00\0Z",
            "99999-01-01T00:00Z",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_time_without_a_place_is_an_error_that_says_so() {
        for text in ["2026-11-24T08:00:00", "2026-11-24", "2026-11-24T08:00[Etc/Unknown]"] {
            let said = text.parse::<Timepoint>().expect_err("nowhere").to_string();
            let expected = format!(
                "\"{text}\" is not a moment: it does not say where: end it with \"Z\" for UTC, an \
                 offset, or a time zone in brackets. Write it like "
            );
            assert!(said.starts_with(&expected), "{said}");
        }
        assert!(read("2026-11-24T08:00Z[Etc/Unknown]").is_some());
    }

    #[test]
    fn the_error_names_the_unknown_zone() {
        let said = "2026-11-24T08:00[Europe/Atlantis]".parse::<Timepoint>();
        let said = said.expect_err("no such zone").to_string();
        assert!(said.contains("find time zone `Europe/Atlantis`"), "{said}");
    }

    #[test]
    fn years_far_away_are_the_first_or_the_last_moment() {
        let [first, last] = [i64::MIN, i64::MAX].map(Timepoint);
        assert_eq!("1500-01-01T00:00:00Z".parse(), Ok(first));
        assert_eq!("9999-01-01T00:00:00Z".parse(), Ok(last));
        let far = Duration::from_secs(1 << 40);
        assert_eq!(Timepoint::from(UNIX_EPOCH - far), first);
        assert_eq!(Timepoint::from(UNIX_EPOCH + far), last);
        assert_eq!(first.to_string(), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(last.to_string(), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn nanoseconds_on_both_sides_of_the_epoch() {
        for (nanos, expected) in [
            (-1, UNIX_EPOCH - Duration::from_nanos(1)),
            (0, UNIX_EPOCH),
            (1, UNIX_EPOCH + Duration::from_nanos(1)),
        ] {
            assert_eq!(Timepoint(nanos).as_system_time(), expected);
            assert_eq!(Timepoint::from(expected), Timepoint(nanos));
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back(
            nanos in prop_oneof![any::<i64>(), -5..5_i64, Just(i64::MIN), Just(i64::MAX)],
        ) {
            let moment = Timepoint::from_nanos(nanos);
            prop_assert_eq!(moment.nanos(), nanos);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            prop_assert_eq!(Timepoint::from(moment.as_system_time()), moment);
        }

        #[test]
        fn no_text_panics(
            text in any::<String>(),
            near in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}(:[0-9]{2})?)?(\\[[A-Z/+0-9]{0,6}\\]?)?",
        ) {
            for text in [text, near] {
                if let Ok(moment) = text.parse::<Timepoint>() {
                    prop_assert_eq!(moment.to_string().parse(), Ok(moment));
                }
            }
        }
    }
}
