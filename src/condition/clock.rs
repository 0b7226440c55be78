//! [`Clock`]: a time of day.

use std::fmt;
use std::str::FromStr;

use super::parse::{Form, ParseError, string_forms, trimmed};

/// A time of day in whole seconds, from 0:00 to 24:00, which is the end of the day.
///
/// It is written like `9`, `12:30` or `12:30:15`; each part has one or two digits, and there may
/// be blanks around it.
///
/// ```
/// use executor_engine::condition::Clock;
///
/// let noon: Clock = "12:00".parse()?;
/// assert_eq!(noon, Clock::new(12, 0, 0)?);
/// assert!(noon < "12:00:01".parse()?);
/// assert_eq!("9".parse::<Clock>()?.to_string(), "09:00:00");
/// assert!("24:00:01".parse::<Clock>().is_err());
/// # Ok::<(), executor_engine::condition::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clock(u32); // seconds since 0:00

impl Clock {
    /// The time of day of that hour (0 to 24), minute (0 to 59) and second (0 to 59).
    ///
    /// ```
    /// use executor_engine::condition::Clock;
    ///
    /// assert_eq!(Clock::new(12, 30, 15)?, "12:30:15".parse()?);
    /// assert!(Clock::new(12, 60, 0).is_err());
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// If one of them is too large, or it would be after 24:00.
    pub fn new(hour: u8, minute: u8, second: u8) -> Result<Self, ParseError> {
        Self::checked(hour, minute, second).map_err(|problem| {
            ParseError::new(Form::Clock, &format!("{hour}:{minute:02}:{second:02}"), problem)
        })
    }

    fn checked(hour: u8, minute: u8, second: u8) -> Result<Self, &'static str> {
        if hour > 24 {
            Err("hours go from 0 to 24")
        } else if minute > 59 {
            Err("minutes go from 0 to 59")
        } else if second > 59 {
            Err("seconds go from 0 to 59")
        } else if hour == 24 && (minute, second) != (0, 0) {
            Err("the day ends at 24:00")
        } else {
            Ok(Self(u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second)))
        }
    }

    /// The hour, 0 to 24.
    ///
    /// ```
    /// # use executor_engine::condition::Clock;
    /// assert_eq!(Clock::new(12, 30, 15)?.hour(), 12);
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    #[must_use]
    pub const fn hour(self) -> u8 {
        (self.0 / 3600) as u8
    }

    /// The minute of the hour, 0 to 59.
    ///
    /// ```
    /// # use executor_engine::condition::Clock;
    /// assert_eq!(Clock::new(12, 30, 15)?.minute(), 30);
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    #[must_use]
    pub const fn minute(self) -> u8 {
        (self.0 / 60 % 60) as u8
    }

    /// The second of the minute, 0 to 59.
    ///
    /// ```
    /// # use executor_engine::condition::Clock;
    /// assert_eq!(Clock::new(12, 30, 15)?.second(), 15);
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    #[must_use]
    pub const fn second(self) -> u8 {
        (self.0 % 60) as u8
    }

    /// Seconds since 0:00.
    pub(super) const fn seconds(self) -> u32 {
        self.0
    }

    /// As people write it: without the seconds, if there are none.
    pub(super) fn short(self) -> String {
        match self.second() {
            0 => format!("{}:{:02}", self.hour(), self.minute()),
            second => format!("{}:{:02}:{second:02}", self.hour(), self.minute()),
        }
    }
}

impl FromStr for Clock {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        let text = trimmed(Form::Clock, input)?;
        let mut parts = [0; 3];
        for (index, part) in text.split(':').enumerate() {
            let Some(place) = parts.get_mut(index) else {
                return Err(ParseError::new(Form::Clock, input, "it has more than three parts"));
            };
            let Some(number) = number(part) else {
                let problem = "each part is a number of one or two digits";
                return Err(ParseError::new(Form::Clock, input, problem));
            };
            *place = number;
        }
        let [hour, minute, second] = parts;
        Self::checked(hour, minute, second)
            .map_err(|problem| ParseError::new(Form::Clock, input, problem))
    }
}

/// The number that one or two digits are.
fn number(digits: &str) -> Option<u8> {
    match digits.as_bytes() {
        [one @ b'0'..=b'9'] => Some(one - b'0'),
        [ten @ b'0'..=b'9', one @ b'0'..=b'9'] => Some((ten - b'0') * 10 + (one - b'0')),
        _ => None,
    }
}

/// Hours, minutes and seconds: `12:30:00`.
impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour(), self.minute(), self.second())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({self})")
    }
}

string_forms!(Clock, "a time of day, like \"12:30\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u32> {
        text.parse::<Clock>().ok().map(Clock::seconds)
    }

    #[test]
    fn what_is_a_time_of_day() {
        for (text, expected) in [
            ("9", 9 * 3600),
            ("0", 0),
            ("00", 0),
            ("0:00", 0),
            ("09:05", 9 * 3600 + 300),
            ("9:5", 9 * 3600 + 300),
            ("12:30", 45_000),
            ("12:30:15", 45_015),
            (" 12:30\t", 45_000),
            ("\n12:30\n", 45_000),
            ("23:59:59", 86_399),
            ("24", 86_400),
            ("24:00", 86_400),
            ("24:00:00", 86_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            " ",
            "25",
            "24:01",
            "24:00:01",
            "12:60",
            "12:30:60",
            "-1",
            "+5",
            "12:-1",
            "1:2:3:4",
            ":",
            "12:",
            ":30",
            "12::30",
            "012:30",
            "12:030",
            "12 30",
            "12: 30",
            "12:30 pm",
            "12h",
            "12.5",
            "1e1",
            "0x9",
            "nine",
            "٩",
            "12:３0",
            "99999999999999999999",
            "12:30\0",
        ] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_error_says_which_part() {
        for (text, problem) in [
            ("25", "hours go from 0 to 24"),
            ("12:60", "minutes go from 0 to 59"),
            ("12:30:99", "seconds go from 0 to 59"),
            ("24:00:01", "the day ends at 24:00"),
            ("1:2:3:4", "it has more than three parts"),
            ("+5", "each part is a number of one or two digits"),
            ("", "it is empty"),
        ] {
            let said = text.parse::<Clock>().expect_err("not one").to_string();
            assert!(said.starts_with(&format!("\"{text}\" is not a time of day: {problem}. ")));
        }
        let said = Clock::new(24, 0, 1).expect_err("after the end").to_string();
        assert!(said.starts_with("\"24:00:01\" is not a time of day: the day ends at 24:00. "));
        assert!(Clock::new(255, 255, 255).is_err());
    }

    #[test]
    fn every_second_of_the_day_comes_back() {
        for second in 0..=86_400 {
            let clock = Clock(second);
            assert_eq!(clock.to_string().parse(), Ok(clock));
            assert_eq!(clock.short().parse(), Ok(clock));
            assert_eq!(Clock::new(clock.hour(), clock.minute(), clock.second()), Ok(clock));
        }
        assert_eq!(Clock(86_400).to_string(), "24:00:00");
        assert_eq!(Clock(32_700).short(), "9:05");
        assert_eq!(Clock(32_715).short(), "9:05:15");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[ 0-9:+-]{0,12}") {
            for text in [text, near] {
                if let Ok(clock) = text.parse::<Clock>() {
                    prop_assert_eq!(clock.to_string().parse(), Ok(clock));
                }
            }
        }
    }
}
