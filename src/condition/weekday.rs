//! [`Weekday`].

use std::fmt;
use std::str::FromStr;

use super::parse::{Form, ParseError, string_forms, trimmed};

/// A day of the week; weeks begin on Monday.
///
/// It is written in English, in full or by its first three letters, in upper or lower case.
///
/// ```
/// use executor_engine::condition::Weekday;
///
/// assert_eq!("mon".parse(), Ok(Weekday::Monday));
/// assert_eq!("Sunday".parse(), Ok(Weekday::Sunday));
/// assert_eq!(Weekday::Sunday.to_string(), "Sunday");
/// assert!(Weekday::Monday < Weekday::Sunday);
/// assert!("day".parse::<Weekday>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weekday {
    /// The first day of the week.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The last.
    Sunday,
}

impl Weekday {
    /// The seven of them, from Monday on.
    ///
    /// ```
    /// use executor_engine::condition::Weekday;
    ///
    /// assert_eq!(Weekday::ALL[2], Weekday::Wednesday);
    /// ```
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Monday => "Monday",
            Self::Tuesday => "Tuesday",
            Self::Wednesday => "Wednesday",
            Self::Thursday => "Thursday",
            Self::Friday => "Friday",
            Self::Saturday => "Saturday",
            Self::Sunday => "Sunday",
        }
    }

    /// Days since Monday, 0 to 6.
    pub(super) const fn index(self) -> u8 {
        self as u8
    }
}

impl FromStr for Weekday {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        let text = trimmed(Form::Weekday, input)?;
        Self::ALL
            .into_iter()
            .find(|day| {
                let name = day.name();
                text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name[..3])
            })
            .ok_or_else(|| ParseError::new(Form::Weekday, input, "no day has that name"))
    }
}

/// The name in full: `Monday`.
impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

string_forms!(Weekday, "a weekday, like \"Monday\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_full_and_short_in_any_case() {
        for (index, day) in Weekday::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(day.index()), index);
            let name = day.to_string();
            for text in [name.clone(), name[..3].to_owned(), format!(" {name}\n")] {
                assert_eq!(text.parse(), Ok(day));
                assert_eq!(text.to_uppercase().parse(), Ok(day));
                assert_eq!(text.to_lowercase().parse(), Ok(day));
            }
        }
    }

    #[test]
    fn what_is_none() {
        for text in ["", " ", "m", "mo", "mond", "mondays", "day", "0", "1", "Montag", "mon tue"] {
            assert!(text.parse::<Weekday>().is_err(), "{text:?}");
        }
        let said = "Montag".parse::<Weekday>().expect_err("not one").to_string();
        assert!(said.starts_with("\"Montag\" is not a weekday: no day has that name. Write "));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[a-zA-ZſK ]{0,9}") {
            for text in [text, near] {
                if let Ok(day) = text.parse::<Weekday>() {
                    prop_assert_eq!(day.to_string().parse(), Ok(day));
                }
            }
        }
    }
}
